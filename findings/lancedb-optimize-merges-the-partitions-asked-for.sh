#!/bin/sh
# lancedb 0.40.0: a vector index that was made with `num_partitions` has as many until `optimize()`, which its documentation
# asks to be called after changes: that merges partitions far below a default size (thousands of rows), also where nothing
# was added, and keeps no record of the number that was asked for. `nprobes` then reaches all of the table: each query compares
# every row. An index that was made with `target_partition_size` keeps its partitions.
# Seen: 20,000 rows, num_partitions=50, a query with nprobes(5) ranks 50 partitions; after optimize() 1, and compares 20,000.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check "lancedb==0.40.0" "pyarrow==26.0.1" "numpy<3" > /dev/null
cat > merged.py <<'PY'
import asyncio
import re

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import IvfSq

WIDTH, ROWS = 32, 20_000


async def partitions(table):
    query = table.query().nearest_to([1.0] * WIDTH).nprobes(5).select(["id", "_distance"]).limit(10)
    return max(int(n) for n in re.findall(r"partitions_ranked=(\d+)", await query.analyze_plan()))


async def main():
    vectors = pa.FixedSizeListArray.from_arrays(
        pa.array(np.random.default_rng(1).normal(size=ROWS * WIDTH).astype("float32")), WIDTH
    )
    rows = pa.table({"id": list(range(ROWS)), "vector": vectors})
    database = await lancedb.connect_async("./rows")
    found = []
    for name, config in (("number", {"num_partitions": 50}), ("size", {"target_partition_size": 400})):
        table = await database.create_table(name, rows)
        await table.create_index("vector", config=IvfSq(**config))
        made = await partitions(table)
        await table.optimize()
        found.append((made, await partitions(table)))
    print(found)
    return 0 if found[0] == (50, 1) and found[1][1] > 40 else 1


raise SystemExit(asyncio.run(main()))
PY
env/bin/python merged.py 2> /dev/null
