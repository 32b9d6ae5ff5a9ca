"""Documents of offices made from readable sources: a page of Markdown becomes a Word file, slides, a PDF.

The name of a source says what becomes of it: `policy.docx.md` a Word file, `list.latin-1.txt` a text in
that encoding, a folder `prices.xlsx` a workbook with a sheet for each CSV file in it. All other files are
taken as they are.
"""

from __future__ import annotations

import csv
import io
import json
import re
import textwrap
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path

from tests.kit.documents import book, pdf, workbook

_LETTERS = 88
_LINES = 34
_ENCODINGS = {".latin-1": "latin-1", ".cp1252": "cp1252", ".utf-16": "utf-16"}
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def make(source: Path, target: Path) -> list[str]:
    """Write every document of the folder `source` under `target`; gives their names."""
    made = []
    for name, content in _documents(source):
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        made.append(name)
    return made


def _documents(source: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        if path.is_dir() and path.suffix == ".xlsx":
            yield name, workbook({sheet.stem: _cells(sheet) for sheet in sorted(path.glob("*.csv"))})
        elif path.is_file() and path.parent.suffix != ".xlsx":
            yield _document(name, path.read_text(encoding="utf-8"))


def _document(name: str, text: str) -> tuple[str, bytes]:
    inner = Path(name).with_suffix("")
    encoding = _ENCODINGS.get(inner.suffix)
    if encoding:
        return inner.with_suffix(Path(name).suffix).as_posix(), text.encode(encoding)
    maker = _MAKERS.get(inner.suffix)
    if maker:
        return inner.as_posix(), maker(text)
    return name, text.encode()


def _cells(path: Path) -> list[list[object]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [[_value(cell) for cell in row] for row in csv.reader(file)]


def _value(cell: str) -> object:
    if not _NUMBER.fullmatch(cell):
        return cell
    return float(cell) if "." in cell else int(cell)


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """(heading, body) of each heading of the first level."""
    for part in re.split(r"^# ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        yield heading, body.strip()


def _pdf(text: str) -> bytes:
    """A bookmark for each heading; a heading begins a page."""
    pages: list[list[str]] = []
    marks: dict[int, str] = {}
    for heading, body in _sections(text):
        lines = [heading, ""]
        for paragraph in body.split("\n\n"):
            drawn = _drawn(paragraph) if paragraph.startswith("|") else textwrap.wrap(paragraph, _LETTERS)
            lines += [*drawn, ""]
        marks[len(pages) + 1] = heading
        pages += [lines[at : at + _LINES] for at in range(0, len(lines), _LINES)]
    return pdf(pages, marks=marks)


def _drawn(block: str) -> list[str]:
    """A table as a line for each row, its cells far apart."""
    rows = _table(block)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["   ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _blocks(text: str) -> Iterator[str]:
    yield from (block.strip() for block in text.split("\n\n") if block.strip())


def _table(block: str) -> list[list[str]]:
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in block.split("\n")]
    return [row for row in rows if not set("".join(row)) <= set("-: ")]


def _docx(text: str) -> bytes:
    import docx

    document = docx.Document()
    for block in _blocks(text):
        if block.startswith("#"):
            marks, _, heading = block.partition(" ")
            document.add_heading(heading, len(marks) - 1)
        elif block.startswith("|"):
            rows = _table(block)
            table = document.add_table(len(rows), len(rows[0]))
            for row, cells in zip(table.rows, rows, strict=True):
                for cell, said in zip(row.cells, cells, strict=True):
                    cell.text = said
        elif block.startswith("- "):
            for item in block.split("\n"):
                document.add_paragraph(item.removeprefix("- "), style="List Bullet")
        else:
            document.add_paragraph(block)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _pptx(text: str) -> bytes:
    from pptx import Presentation
    from pptx.util import Inches

    deck = Presentation()
    for heading, body in _sections(text):
        blocks = list(_blocks(body))
        tables = [_table(block) for block in blocks if block.startswith("|")]
        slide = deck.slides.add_slide(deck.slide_layouts[5 if tables else 1])
        slide.shapes.title.text = heading
        for rows in tables:
            box = (Inches(1), Inches(2), Inches(6), Inches(3))
            table = slide.shapes.add_table(len(rows), len(rows[0]), *box).table
            for y, row in enumerate(rows):
                for x, said in enumerate(row):
                    table.cell(y, x).text = said
        for block in blocks:
            if block.startswith("Notes: "):
                slide.notes_slide.notes_text_frame.text = block.removeprefix("Notes: ")
            elif block.startswith("- "):
                slide.placeholders[1].text = block.replace("- ", "")
    out = io.BytesIO()
    deck.save(out)
    return out.getvalue()


def _epub(text: str) -> bytes:
    chapters = [
        f"<html><body><h1>{heading}</h1>{''.join(f'<p>{block}</p>' for block in _blocks(body))}</body></html>"
        for heading, body in _sections(text)
    ]
    return book(chapters)


def _eml(text: str) -> bytes:
    head, _, rest = text.partition("\n\n")
    body, _, attached = rest.partition("\n== ")
    message = EmailMessage()
    names = []
    for line in head.split("\n"):
        key, _, value = line.partition(": ")
        if key == "Attachment":
            names.append(value)
        else:
            message[key] = value
    message.set_content(body)
    for name in names:
        content = attached.partition("\n")[2].encode()
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


def _notebook(text: str) -> bytes:
    cells: list[dict[str, object]] = []
    for block in _blocks(text):
        if block.startswith("```output"):
            said = "\n".join(block.split("\n")[1:-1])
            output = {"output_type": "stream", "name": "stdout", "text": said}
            cells[-1]["outputs"] = [output]
        elif block.startswith("```"):
            code = "\n".join(block.split("\n")[1:-1])
            cells.append(
                {
                    "cell_type": "code",
                    "source": code,
                    "metadata": {},
                    "outputs": [],
                    "execution_count": 1,
                }
            )
        else:
            cells.append({"cell_type": "markdown", "source": block, "metadata": {}})
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}).encode()


_MAKERS: dict[str, Callable[[str], bytes]] = {
    ".docx": _docx,
    ".epub": _epub,
    ".eml": _eml,
    ".ipynb": _notebook,
    ".pdf": _pdf,
    ".pptx": _pptx,
    ".py": str.encode,
}
