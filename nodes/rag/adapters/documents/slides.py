"""PowerPoint (PPTX): titles, text, tables, numbers of charts and speaker notes, slide by slide.

PresentationML is in ECMA-376 part 1, section 19; charts (DrawingML) in section 21.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice, repeat

from lxml import etree

from core.words import row_sentence
from nodes.rag.adapters.documents.ooxml import Package
from nodes.rag.reading.extract import MOST_CHARS, Extract, Unreadable, numbers
from nodes.rag.reading.tables import heads_alone

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_TITLES = {"title", "ctrTitle"}
# What a layout puts on every slide: its number, the date, a line below.
_FURNITURE = {"sldNum", "dt", "ftr", "hdr", "sldImg"}


def read(raw: bytes) -> Extract:
    """The slides that are shown.

    Raises:
        Unreadable: It is broken, needs a password, or has no text.
    """
    package = Package(raw)
    name = package.main() or "ppt/presentation.xml"
    related = package.related(name)
    found, hidden, partly = Extract(), [], []
    slides = [item.get(f"{_R}id", "") for item in package.xml(name).iter(f"{_P}sldId")]
    for number, key in enumerate(slides, start=1):
        _, part = related.get(key, ("", ""))
        slide = _chosen(package.xml(part))
        if slide.get("show") in {"0", "false"}:
            hidden.append(number)
            continue
        if _take_out_hidden(slide):
            partly.append(number)
        title, blocks = _slide(package, part, slide)
        found.add(blocks, (title,) if title else (), f"slide {number}", f"slide={number}")
        if found.chars > MOST_CHARS:
            raise Unreadable("it is too much text")
    if hidden:
        found.notes.append(f"hidden and not read: slide {numbers(hidden)}")
    if partly:
        found.notes.append(f"hidden and not read: some of slide {numbers(partly)}")
    if not found.parts:
        raise Unreadable("; ".join(found.notes) or "it has no text")
    return found


def _slide(package: Package, part: str, slide: etree._Element) -> tuple[str, list[str]]:
    title = ""
    blocks: list[str] = []
    related = package.related(part)
    for shape in slide.iter(f"{_P}sp", f"{_P}graphicFrame"):
        kind = _placeholder(shape)
        if kind in _FURNITURE:
            continue
        said = list(_shape(package, related, shape))
        if kind in _TITLES and said and not title:
            title = " ".join(" ".join(said).split())
            blocks.insert(0, title)
        else:
            blocks += said
    for notes in package.of_kind(part, "notesSlide"):
        shapes = _chosen(package.xml(notes)).iter(f"{_P}sp")
        said = [text for s in shapes if _placeholder(s) not in _FURNITURE for text in _paragraphs(s)]
        if said:
            blocks += ["Notes:", *said]
    return title, blocks


def _chosen(slide: etree._Element) -> etree._Element:
    """The slide with one form of what stands there for new programs and for old ones: that with words."""
    for both in list(slide.iter(f"{_MC}AlternateContent")):
        forms = [form for form in both if form.tag in {f"{_MC}Choice", f"{_MC}Fallback"}]
        told = (form for form in forms if next(form.iter(f"{_A}t", f"{_M}t", f"{_C}chart"), None) is not None)
        kept = next(told, None)
        for form in forms:
            if form is not kept:
                both.remove(form)
    return slide


def _placeholder(shape: etree._Element) -> str:
    found = shape.find(f".//{_P}nvPr/{_P}ph")
    return "" if found is None else found.get("type", "body" if found.get("idx") else "")


def _take_out_hidden(slide: etree._Element) -> bool:
    """Remove what somebody took out of sight; whether there was a word in it."""
    marks = [mark for mark in slide.iter(f"{_P}cNvPr") if mark.get("hidden") in {"1", "true"}]
    told = False
    for mark in marks:
        _, shape, above = islice(chain(mark.iterancestors(), repeat(None)), 3)
        if shape is not None and above is not None:
            told = told or next(shape.iter(f"{_A}t"), None) is not None
            above.remove(shape)
    return told


def _shape(package: Package, related: dict[str, tuple[str, str]], shape: etree._Element) -> Iterator[str]:
    if shape.tag == f"{_P}sp":
        yield from _paragraphs(shape)
        return
    for table in shape.iter(f"{_A}tbl"):
        yield from _table(table)
    for chart in shape.iter(f"{_C}chart"):
        _, part = related.get(chart.get(f"{_R}id", ""), ("", ""))
        if part in package:
            yield from _chart(package.xml(part))


def _paragraphs(parent: etree._Element) -> Iterator[str]:
    for paragraph in parent.iter(f"{_A}p"):
        said = "".join(
            "\n" if piece.tag == f"{_A}br" else piece.text or ""
            for piece in paragraph.iter(f"{_A}t", f"{_A}br", f"{_M}t")
        ).strip()
        if said:
            yield said


def _table(table: etree._Element) -> Iterator[str]:
    rows = [
        [" ".join(" ".join(_paragraphs(cell)).split()) for cell in row.iter(f"{_A}tc")]
        for row in table.iter(f"{_A}tr")
    ]
    if len(rows) > 1:
        names = [cell or f"column {n}" for n, cell in enumerate(rows[0], start=1)]
        yield from (row_sentence(names, row) for row in rows[1:])
        yield from heads_alone(rows[0], rows[1:])
    else:
        yield from (" | ".join(filter(None, row)) for row in rows)


def _chart(chart: etree._Element) -> Iterator[str]:
    """A sentence for each series: its name, and the value of each category."""
    for series in chart.iter(f"{_C}ser"):
        name = " ".join(_points(series.find(f"{_C}tx"))) or "series"
        names = list(_points(series.find(f"{_C}cat")))
        values = list(_points(series.find(f"{_C}val")))
        names += [f"value {n}" for n in range(len(names) + 1, len(values) + 1)]
        if values:
            yield f"{name}: {row_sentence(names, values)}"


def _points(parent: etree._Element | None) -> Iterator[str]:
    return () if parent is None else (value.text or "" for value in parent.iter(f"{_C}v"))  # type: ignore[return-value]
