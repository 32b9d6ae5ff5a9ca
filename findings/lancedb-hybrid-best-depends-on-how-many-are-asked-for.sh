#!/bin/sh
# lancedb 0.40.0: a hybrid query ranks by both lists, the nearest vectors and the best texts, and takes of each as many as
# are asked for. A row that is good in both, and the first of neither, is therefore not there in a short answer: not further
# down, nowhere. So the best passage of twenty may be none of the ten that the same query gives with a limit of ten; and pages
# made with offset, whose lists grow from page to page, show rows twice and leave others out. Vectors alone and
# texts alone have no such trouble. Who wants k asks for many more and cuts, and makes pages from one answer.
# Seen, 200 rows: the first of twenty is not among the ten, and not the first of forty; four pages of five show 18 different
# rows, by vector alone 20.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "lancedb==0.40.0" "pyarrow==26.0.1" "numpy<3" \
    > /dev/null 2>&1
cat > "$folder/hybrid.py" <<'PY'
import asyncio
import tempfile

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import FTS

SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string()), ("vector", pa.list_(pa.float32(), 8))])


async def main(folder):
    random = np.random.default_rng(4)

    def text():
        return " ".join(["apple"] * int(random.integers(1, 9)) + ["pear"] * int(random.integers(0, 40)))

    rows = [{"id": n, "text": text(), "vector": random.normal(size=8).tolist()} for n in range(200)]
    table = await (await lancedb.connect_async(folder)).create_table("t", pa.Table.from_pylist(rows, schema=SCHEMA))
    await table.create_index("text", config=FTS())

    async def asked(limit, offset=0, hybrid=True):
        query = table.query().nearest_to(rows[3]["vector"])
        query = query.nearest_to_text("apple") if hybrid else query
        return [row["id"] for row in await query.limit(limit).offset(offset).to_list()]

    async def pages(hybrid):
        return len({n for page in range(4) for n in await asked(5, 5 * page, hybrid)})

    ten, twenty, forty = [await asked(limit) for limit in (10, 20, 40)]
    print("ten", ten, "twenty", twenty[:3], "forty", forty[:3], "pages", await pages(True), await pages(False))
    assert twenty[0] not in ten
    assert forty[0] != twenty[0]
    assert await pages(True) < 20
    assert await pages(False) == 20


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(folder))
PY
"$folder/env/bin/python" -W ignore "$folder/hybrid.py"
