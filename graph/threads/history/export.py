"""A thread as JSON Lines, or as Markdown for people, piece by piece: it is never in memory as a whole."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import orjson
from langchain_core.messages import BaseMessage

from core.access import Principal
from core.foreign import as_bytes
from graph.flow.state import time_of
from graph.threads.history.forms import FORMAT, PART_BYTES, VERSION, message_as_json
from graph.threads.history.look import Graph, snapshot_at
from graph.threads.transcript import Transcript
from nodes.file_storage import FileInfo, FileManager, FileNotFound

_WHO = {"user": "User", "assistant": "Assistant", "tool": "Tool", "system": "System"}
_TICKS = re.compile(r"`+")


class Exporter:
    """Writes threads. Rights to the thread are the caller's business; files are read as the principal."""

    def __init__(self, graph: Graph, transcript: Transcript, files: FileManager) -> None:
        self._graph = graph
        self._transcript = transcript
        self._files = files

    async def lines(self, principal: Principal, row: Mapping[str, Any]) -> AsyncIterator[bytes]:
        """The lines of the thread with this row, each with its line feed (`graph.threads.history.forms`)."""
        thread_id = str(row["id"])
        snapshot = await snapshot_at(self._graph, thread_id)
        window: list[BaseMessage] = snapshot.values.get("messages") or []
        refs: list[dict[str, Any]] = snapshot.values.get("files") or []
        messages, files = 0, 0
        yield _line(_thread(row))
        for info in await self._known(principal, thread_id, refs):
            files += 1
            async for line in self._file(principal, info):
                yield line
        async for line in self._messages(thread_id):
            messages += 1
            yield line
        for message in window:
            yield _line({"type": "window", "message": message_as_json(message)})
        summary = snapshot.values.get("summary") or ""
        state = {"summary": summary, "files": [ref["key"] for ref in refs]}
        yield _line({"type": "state", **state, "unfinished": bool(row["dirty"])})
        yield _line({"type": "end", "messages": messages, "files": files, "window": len(window)})

    async def _messages(self, thread_id: str) -> AsyncIterator[bytes]:
        async for row in self._transcript.rows(thread_id):
            yield _line(
                {
                    "type": "message",
                    "id": row["message_id"],
                    "role": row["role"],
                    "text": row["text"],
                    "extra": row["extra"],
                    "created_at": time_of(row["created_at"]),
                }
            )

    async def _known(
        self, principal: Principal, thread_id: str, refs: list[dict[str, Any]]
    ) -> list[FileInfo]:
        """The files that the state names, and those that tools made in the thread; deleted ones are not."""
        made = await self._files.list(principal, origin="tool", thread=thread_id, limit=1000)
        found = {info.key: info for info in reversed(made)}
        for ref in refs:
            if ref["key"] not in found:
                try:
                    found[ref["key"]] = await self._files.info(principal, ref["key"])
                except FileNotFound:
                    continue
        return list(found.values())

    async def _file(self, principal: Principal, info: FileInfo) -> AsyncIterator[bytes]:
        known = {
            name: getattr(info, name) for name in ("key", "name", "media_type", "size", "origin", "etag")
        }
        yield _line({"type": "file", **known, "tags": dict(info.tags)})
        rest = b""
        async with aclosing(self._files.open(principal, info.key)) as chunks:
            async for chunk in chunks:
                rest += chunk
                while len(rest) >= PART_BYTES:
                    yield _part(rest[:PART_BYTES])
                    rest = rest[PART_BYTES:]
        if rest:
            yield _part(rest)


def _thread(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "thread",
        "format": FORMAT,
        "version": VERSION,
        "id": row["id"],
        "title": row["title"],
        "tags": row["tags"] or [],
        "created_at": time_of(row["created_at"]),
        "updated_at": time_of(row["updated_at"]),
    }


def _part(data: bytes) -> bytes:
    return _line({"type": "part", "data": base64.b64encode(data).decode()})


def _line(value: Mapping[str, Any]) -> bytes:
    return as_bytes(value) + b"\n"


class Markdown:
    """Writes what was said in threads. Rights are the caller's business."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript

    async def pieces(self, thread: Mapping[str, Any]) -> AsyncIterator[bytes]:
        """The document of a thread, as `Threads.get` shows it, message by message."""
        yield _head(thread).encode()
        async for row in self._transcript.rows(thread["id"]):
            yield _message(row).encode()


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
