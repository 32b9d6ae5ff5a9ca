"""Markdown of models and people as HTML that a page may show.

Two gates, one behind the other: the parser takes no HTML, and what comes out of it is held to a list of
elements and attributes. Pictures become links, since a picture of another host would tell it who reads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import cache
from html import escape
from typing import Any

import nh3
from fastapi import APIRouter
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pydantic import BaseModel, Field

from server.console.pages import On
from server.errors import InvalidRequest
from server.middleware.auth import Caller
from server.routes.common import problems

# Characters of a request that are read as Markdown; what is behind them is shown as it is.
MOST_CHARACTERS = 200_000
# Of one text: what is all brackets takes 50 microseconds for each of them.
MOST_OF_A_TEXT = 40_000
# Seconds of a core, after which the texts that are left are shown as they are.
MOST_SECONDS = 2.0
MOST_TEXTS = 200
_BLOCKS = ("blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "ul")
_TAGS = {*_BLOCKS, "table", "tbody", "td", "th", "thead", "tr", "a", "br", "code", "del", "em", "s", "strong"}
_ATTRIBUTES: dict[str, set[str]] = {"a": {"href", "title"}, "ol": {"start"}}
_SCHEMES = {"http", "https", "mailto"}
_ELSEWHERE = tuple(f"{scheme}:" for scheme in _SCHEMES)

router = APIRouter(prefix="/console", tags=["console"], responses=problems(InvalidRequest))


class Texts(BaseModel, extra="forbid", strict=True):
    """Texts in Markdown."""

    texts: list[str] = Field(max_length=MOST_TEXTS)


class Rendered(BaseModel):
    """The same as HTML, in their order."""

    html: list[str]


@router.post("/markdown")
async def render(given: Texts, on: On, who: Caller) -> Rendered:
    """Markdown as HTML that is safe to show: no scripts, styles or pictures; links open elsewhere."""
    return Rendered(html=await asyncio.to_thread(rendered, given.texts))


def rendered(texts: Sequence[str], *, most: int = MOST_CHARACTERS) -> list[str]:
    """Each as HTML, as far as the first `most` characters of all together, and `MOST_SECONDS`."""
    found, until = list[str](), time.thread_time() + MOST_SECONDS
    for text in texts:
        found.append(as_html(text, most=min(most, MOST_OF_A_TEXT)))
        most = max(0, most - len(text)) if time.thread_time() < until else 0
    return found


def as_html(text: str, *, most: int = MOST_CHARACTERS) -> str:
    """One text as HTML, as far as its first `most` characters."""
    read, rest = text[:most], text[most:]
    html = nh3.clean(
        _parser().render(read),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
    return f"{html}<pre>{escape(rest)}</pre>" if rest else html


@cache
def _parser() -> MarkdownIt:
    found = MarkdownIt("commonmark", {"html": False, "maxNesting": 50}).enable(["table", "strikethrough"])
    # `[1]` is a citation. And one long address, referred to a thousand times, would be written so often.
    found.disable("reference")
    found.validateLink = lambda url: url.lower().startswith(_ELSEWHERE)  # type: ignore[method-assign]  # as it says
    found.add_render_rule("image", _picture)
    return found


def _picture(_: Any, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    token = tokens[at]
    address = escape(str(token.attrGet("src") or ""), quote=True)
    return f'<a href="{address}">{escape(token.content or address)}</a>'
