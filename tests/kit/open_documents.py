"""OpenDocument files part by part: a text, sheets and slides, as LibreOffice and pandoc write them."""

from __future__ import annotations

from tests.kit.documents import zipped

_NAMES = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{uri}:1.0"'
    for name, uri in (
        ("office", "office"),
        ("style", "style"),
        ("text", "text"),
        ("table", "table"),
        ("draw", "drawing"),
        ("presentation", "presentation"),
    )
)


def opened(kind: str, body: str, styles: str = "", **parts: str) -> bytes:
    """A file of a kind (text, spreadsheet, presentation) of this; `parts` are formulas by name."""
    content = (
        f'<office:document-content {_NAMES} xmlns:xlink="http://www.w3.org/1999/xlink">'
        f"<office:automatic-styles>{styles}</office:automatic-styles>"
        f"<office:body><office:{kind}>{body}</office:{kind}></office:body></office:document-content>"
    )
    return zipped({"content.xml": content, **{f"{name}/content.xml": xml for name, xml in parts.items()}})


def encrypted() -> bytes:
    """What a password leaves readable: the manifest."""
    manifest = '<m:manifest xmlns:m="urn:x"><m:file-entry><m:encryption-data/></m:file-entry></m:manifest>'
    return zipped({"META-INF/manifest.xml": manifest, "content.xml": b"\x00\x01"})


def paragraph(said: str) -> str:
    return f"<text:p>{said}</text:p>"


def table(*rows: str, name: str = "T", style: str = "") -> str:
    inner = "".join(f"<table:table-row>{row}</table:table-row>" for row in rows)
    return f'<table:table table:name="{name}" table:style-name="{style}">{inner}</table:table>'


def cell(said: str, **given: str) -> str:
    """A cell; `given` are its attributes without their namespace: value..., spanned and repeated."""
    spaces = {"columns": "table", "rows": "table"}
    words = "".join(
        f' {spaces.get(key.split("_")[0], "office")}:{key_of(key)}="{value}"' for key, value in given.items()
    )
    return f"<table:table-cell{words}>{paragraph(said) if said else ''}</table:table-cell>"


def key_of(key: str) -> str:
    """columns_repeated is number-columns-repeated in XML."""
    name = key.replace("_", "-")
    return f"number-{name}" if name.startswith(("columns-", "rows-")) else name
