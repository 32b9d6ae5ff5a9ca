"""Text on a terminal broken between words; into a pipe or a file it goes as it is."""

from __future__ import annotations

import re
import shutil
import textwrap
from typing import TextIO

NARROW = 20
_PARTS = re.compile(r"(\n|[^\S\n]+)")


def width_of(out: TextIO) -> int:
    """Columns of a terminal; 0 for anything else."""
    return max(NARROW, shutil.get_terminal_size().columns) if out.isatty() else 0


def wrapped(text: str, out: TextIO) -> str:
    """Whole text for `out`; lines that go on are set in."""
    width = width_of(out)
    if not width:
        return text
    lines = text.split("\n")
    return "\n".join(_line(line, width) for line in lines)


def _line(line: str, width: int) -> str:
    before = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.fill(
        line,
        width,
        subsequent_indent=before if line[:1].isspace() or line[:1] == "[" else "",
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
        drop_whitespace=True,
        expand_tabs=False,
    )


class Wrapping:
    """Writes a text that comes piece by piece; a word is shown when it is whole."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._width = width_of(out)
        self._column = 0
        self._word = ""
        self._blank = ""

    def write(self, text: str) -> None:
        if not self._width:
            self._out.write(text)
            return
        *whole, self._word = _PARTS.split(self._word + text)
        for word, gap in zip(whole[::2], whole[1::2], strict=True):
            self._put(word)
            if gap == "\n":
                self._out.write("\n")
                self._column, self._blank = 0, ""
            else:
                self._blank += gap

    def end(self) -> None:
        """Show the last word, behind which nothing comes."""
        self._put(self._word)
        self._word = ""

    def _put(self, word: str) -> None:
        if not word:
            return
        from rich.cells import cell_len  # noqa: PLC0415 - only where somebody looks

        blank, taken = self._blank, cell_len(word)
        if self._column and self._column + cell_len(blank) + taken > self._width:
            blank, self._column = "\n", 0
            self._out.write(blank + word)
        else:
            self._out.write(blank + word)
            self._column += cell_len(blank)
        # A word that is longer than a line is broken by the terminal.
        self._column = (self._column + taken - 1) % self._width + 1
        self._blank = ""
