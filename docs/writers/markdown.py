"""Small pieces of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NOTE = "<!-- Written by `python -m docs.generate`. Change the code it describes, then run `make docs`. -->"


def document(title: str, *parts: str) -> str:
    """A page: title, note, and its parts with a blank line between them."""
    return "\n\n".join([f"# {title}", NOTE, *(part.strip() for part in parts if part.strip())]) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; every cell fits one line."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def code(text: str) -> str:
    """Inline code, also of text that holds backticks; nothing for no text."""
    if not text:
        return ""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def first_line(docstring: str | None) -> str:
    """What a docstring says first, as one line."""
    return " ".join((docstring or "").strip().split("\n\n")[0].split())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
