#!/bin/sh
# pypdfium2 5.15.2: a word that a page parts at the end of a line, "inter-" above "national", comes without the line's
# end and with a stand-in for the hyphen; which one depends on how the same text page is read. get_text_range() gives
# U+FFFE, get_text_bounded() gives U+0002. Whoever looks for one of them keeps words with a control character in them,
# that no search finds. The stand-in also stands where the hyphen belongs to the word ("co-" above "op"), and behind a
# digit the hyphen stays and the line's end becomes a space ("7-" above "8" is "7- 8").
# Seen: range 'inter\ufffenational', bounded 'inter\x02national'; 'co\ufffeop', 'co\x02op'; '7- 8' both times.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "pypdfium2==5.15.2" "reportlab==5.1.0"
cat > "$folder/read.py" <<'PY'
import io

import pypdfium2
from reportlab.pdfgen.canvas import Canvas


def read(first: str, second: str) -> tuple[str, str]:
    out = io.BytesIO()
    canvas = Canvas(out)
    canvas.drawString(72, 720, first)
    canvas.drawString(72, 700, second)
    canvas.save()
    page = pypdfium2.PdfDocument(out.getvalue())[0].get_textpage()
    return page.get_text_range(), page.get_text_bounded()


found = [read("inter-", "national"), read("co-", "op"), read("7-", "8")]
print(found)
assert found == [
    ("inter\ufffenational", "inter\x02national"),
    ("co\ufffeop", "co\x02op"),
    ("7- 8", "7- 8"),
], found
PY
"$folder/env/bin/python" "$folder/read.py"
