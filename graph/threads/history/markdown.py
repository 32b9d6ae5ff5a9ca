"""A thread as Markdown, for people."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from graph.flow.messages import time_of
from graph.threads.transcript import Transcript

PAGE = 200
_WHO = {"user": "User", "assistant": "Assistant", "tool": "Tool", "system": "System"}
_TICKS = re.compile(r"`+")


class Markdown:
    """Writes what was said in threads. Rights are the caller's business."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript

    async def pieces(self, thread: Mapping[str, Any]) -> AsyncIterator[bytes]:
        """The document of a thread, as `Threads.get` shows it, message by message."""
        yield _head(thread).encode()
        after = 0
        while rows := await self._transcript.onward(thread["id"], after=after, limit=PAGE):
            for row in rows:
                yield _message(row).encode()
            after = rows[-1]["seq"]


def _head(thread: Mapping[str, Any]) -> str:
    tags = f", tags: {', '.join(thread['tags'])}" if thread["tags"] else ""
    title = " ".join(thread["title"].split()) or thread["id"]
    return f"# {title}\n\nThread `{thread['id']}`, begun {thread['created_at']}{tags}\n"


def _message(row: Any) -> str:
    extra: Mapping[str, Any] = row["extra"] or {}
    who = _WHO.get(row["role"], row["role"])
    if row["role"] == "tool":
        who = f"{who} `{extra.get('tool') or extra.get('name') or '?'}` ({extra.get('status', 'ok')})"
    text = fenced(row["text"]) if row["role"] == "tool" else row["text"].strip()
    parts = [f"\n## {who}\n", f"*{time_of(row['created_at'])}*\n", f"{text}\n" if text else ""]
    if extra.get("partial"):
        parts.append("*(cut off)*\n")
    for calls in extra.get("tool_calls") or ():
        arguments = orjson.dumps(calls.get("arguments"), option=orjson.OPT_INDENT_2).decode()
        parts.append(f"Calls `{calls.get('name')}`:\n\n{fenced(arguments, 'json')}\n")
    parts += [_citation(item) for item in extra.get("citations") or ()]
    parts += [f"- file: {item['name']}" for item in extra.get("files") or () if isinstance(item, Mapping)]
    return "\n".join(part for part in parts if part) + "\n"


def _citation(item: Mapping[str, Any]) -> str:
    where = f"{item.get('title') or item.get('document')} ({item.get('source')})"
    quote = " ".join(str(item.get("quote", "")).split())
    return f"- [{item.get('n')}] {where}: {quote}"


def fenced(text: str, language: str = "") -> str:
    """The text as a block of code that nothing in it can end."""
    longest = max((len(found) for found in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
