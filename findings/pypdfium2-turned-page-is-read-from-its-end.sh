#!/bin/sh
# pypdfium2 5.15.2: of a page with /Rotate 90, whose letters stand upright in the page's own space (as scanners and
# `qpdf --rotate=+90` leave them), the text comes with its lines from the last to the first; with 0, 180 and 270 from the
# first to the last. Whoever quotes such a page quotes sentences backwards, line by line. Turned back with
# set_rotation(0), and loaded again, the page is read from its first line.
# Seen: ['first', 'second', 'third'] for 0, 180 and 270; ['third', 'second', 'first'] for 90.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "pypdfium2==5.15.2" "reportlab==5.1.0"
cat > "$folder/read.py" <<'PY'
import io

import pypdfium2
from reportlab.pdfgen.canvas import Canvas


def written(turned: int) -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out)
    canvas.setPageRotation(turned)
    for place, line in enumerate(("first", "second", "third")):
        canvas.drawString(72, 520 - 20 * place, line)
    canvas.save()
    return out.getvalue()


def read(page: pypdfium2.PdfPage) -> list[str]:
    return page.get_textpage().get_text_bounded().split()


found = {turned: read(pypdfium2.PdfDocument(written(turned))[0]) for turned in (0, 90, 180, 270)}
print(found)
upright = ["first", "second", "third"]
assert found == {0: upright, 90: upright[::-1], 180: upright, 270: upright}, found

document = pypdfium2.PdfDocument(written(90))
document[0].set_rotation(0)
assert read(document[0]) == upright
PY
"$folder/env/bin/python" "$folder/read.py"
