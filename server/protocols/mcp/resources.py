"""Threads and files of the caller as resources, and what they may choose from."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from core.access import usable
from core.errors import InvalidInput, NotFound, TooLarge
from core.foreign import as_bytes
from nodes.file_storage import FileManager
from nodes.file_storage.models import FileInfo
from nodes.llm import LLMCaller
from nodes.rag import RAGClient
from server.protocols.mcp import rpc
from server.protocols.mcp.exchange import Exchange
from server.protocols.mcp.results import SCHEME, file_uri, thread_uri

PAGE = 50
READ_BYTES = 4_194_304
_JSON = "application/json"
_MARKDOWN = "text/markdown"
_TEXTS = frozenset({_JSON, "application/xml", "application/yaml", "application/x-yaml", "application/toml"})
_LONGEST_CURSOR = 1000

_SOURCES = f"{SCHEME}sources"
_MODELS = f"{SCHEME}models"
_FIXED: list[dict[str, Any]] = [
    {
        "uri": _SOURCES,
        "name": "sources",
        "title": "Sources",
        "description": "Sources that you may search.",
        "mimeType": _JSON,
    },
    {
        "uri": _MODELS,
        "name": "models",
        "title": "Models",
        "description": "Models that you may name.",
        "mimeType": _JSON,
    },
]
TEMPLATES: list[dict[str, Any]] = [
    {
        "uriTemplate": f"{SCHEME}threads/{{thread_id}}",
        "name": "thread",
        "title": "A conversation as Markdown",
        "mimeType": _MARKDOWN,
    },
    {
        "uriTemplate": f"{SCHEME}threads/{{thread_id}}/transcript{{?before}}",
        "name": "transcript",
        "title": "Messages of a conversation",
        "description": "The newest, oldest first; `before` of a page names the page before it.",
        "mimeType": _JSON,
    },
    {"uriTemplate": f"{SCHEME}files/{{key}}", "name": "file", "title": "A file"},
]


class ResourceTooLarge(TooLarge):
    """A resource is larger than what is read at once."""

    code = "resource_too_large"
    title = "The resource is too large to be read at once"


async def templates(_: Exchange) -> rpc.Result:
    """`resources/templates/list`."""
    return {"resourceTemplates": TEMPLATES}


async def listing(x: Exchange) -> rpc.Result:
    """`resources/list`: what is fixed, then threads, then files, the last used first."""
    stage, after = _place(x.params.get("cursor"))
    found: list[dict[str, Any]] = []
    if stage == "threads":
        rows = await x.agent.threads.list(x.who, limit=PAGE, after=after)
        found = [*([] if after else _FIXED), *map(_thread, rows)]
        following = ("threads", rows[-1]["cursor"]) if len(rows) == PAGE else ("files", None)
    else:
        manager = await x.agent.container.get(FileManager)
        files = await manager.list(x.who, limit=PAGE, after=after)
        found = [_file(each) for each in files]
        following = ("files", files[-1].key) if len(files) == PAGE else ("", None)
    return {"resources": found, **({"nextCursor": _cursor(*following)} if following[0] else {})}


def _cursor(stage: str, after: str | None) -> str:
    return urlsafe_b64encode(orjson.dumps([stage, after])).decode()


def _place(cursor: object) -> tuple[str, str | None]:
    if cursor is None:
        return "threads", None
    try:
        if isinstance(cursor, str) and len(cursor) <= _LONGEST_CURSOR:
            stage, after = orjson.loads(urlsafe_b64decode(cursor))
            if stage in ("threads", "files") and (after is None or isinstance(after, str)):
                return stage, after
    except (ValueError, TypeError):
        pass
    raise rpc.Refusal(rpc.INVALID_PARAMS, "cursor is none of this list; send nextCursor as it came")


def _thread(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "uri": thread_uri(row["id"]),
        "name": row["id"],
        "title": row["title"] or row["id"],
        "description": f"A conversation of {row['turns']} turns, {row['status']}.",
        "mimeType": _MARKDOWN,
        "annotations": {"lastModified": row["updated_at"]},
    }


def _file(info: FileInfo) -> dict[str, Any]:
    return {
        "uri": file_uri(info.key),
        "name": info.name,
        "mimeType": info.media_type,
        "size": info.size,
        "annotations": {"lastModified": info.created.isoformat()},
    }


async def read(x: Exchange) -> rpc.Result:
    """`resources/read`.

    Raises:
        Refusal: There is no such resource for this user.
    """
    uri = x.params.get("uri")
    if not isinstance(uri, str):
        raise rpc.Refusal(rpc.INVALID_PARAMS, "uri must be the address of a resource")
    try:
        return {"contents": [await content(x, uri)]}
    except (NotFound, InvalidInput) as error:
        code = rpc.INVALID_PARAMS if x.session.modern else rpc.NO_RESOURCE
        told = {"uri": uri[:500], "code": error.code}
        raise rpc.Refusal(code, error.detail, data=told) from None


async def content(x: Exchange, uri: str) -> dict[str, Any]:
    """What a resource holds.

    Raises:
        NotFound, InvalidInput: There is none for this user.
        ResourceTooLarge: It is too large.
    """
    try:
        parts = urlsplit(uri)
    except ValueError:
        parts = urlsplit("")
    words = [unquote(part) for part in parts.path.split("/") if part]
    reader = _READERS.get((parts.netloc, *(("…",) * len(words[:1])), *words[1:]))
    if f"{parts.scheme}://" != SCHEME or reader is None:
        raise NotFound(f"there is no resource '{uri[:200]}'; resources/list has those that there are")
    named = words[0] if words else ""
    return {"uri": uri, **await reader(x, named, {k: v[0] for k, v in parse_qs(parts.query).items()})}


async def _sources(x: Exchange, _: str, __: Mapping[str, str]) -> dict[str, Any]:
    if not x.agent.has("rag"):
        return _json([])
    rag = await x.agent.container.get(RAGClient)
    return _json([source.as_json() for source in await rag.discover(x.who)])


async def _models(x: Exchange, _: str, __: Mapping[str, str]) -> dict[str, Any]:
    llm = await x.agent.container.get(LLMCaller)
    mine = usable(x.who, llm.entries())
    return _json([{"name": name, "description": each.description or ""} for name, each in mine.items()])


async def _markdown(x: Exchange, thread_id: str, _: Mapping[str, str]) -> dict[str, Any]:
    pieces = await x.agent.threads.export(x.who, thread_id, form="markdown")
    whole = await _within(pieces, f"thread '{thread_id}'", f"read {thread_uri(thread_id)}/transcript instead")
    return {"mimeType": _MARKDOWN, "text": whole.decode()}


async def _transcript(x: Exchange, thread_id: str, query: Mapping[str, str]) -> dict[str, Any]:
    before = query.get("before")
    if before is not None and not (before.isascii() and before.isdecimal() and len(before) < 16):
        raise InvalidInput("before must be the number that a page names")
    place = None if before is None else int(before)
    return _json(await x.agent.threads.transcript(x.who, thread_id, limit=PAGE, before=place))


async def _of_file(x: Exchange, key: str, _: Mapping[str, str]) -> dict[str, Any]:
    manager = await x.agent.container.get(FileManager)
    info = await manager.info(x.who, key)
    what, instead = f"file '{info.name}'", f"GET /files/{key}/content has all of it"
    if info.size > READ_BYTES:
        raise ResourceTooLarge(_too_large(what, instead))
    data = await _within(manager.open(x.who, key), what, instead)
    if info.media_type.startswith("text/") or info.media_type in _TEXTS:
        try:
            return {"mimeType": info.media_type, "text": data.decode()}
        except UnicodeDecodeError:
            pass
    return {"mimeType": info.media_type, "blob": b64encode(data).decode()}


async def _within(pieces: AsyncIterator[bytes], what: str, instead: str) -> bytes:
    found = bytearray()
    async for piece in pieces:
        found += piece
        if len(found) > READ_BYTES:
            raise ResourceTooLarge(_too_large(what, instead))
    return bytes(found)


def _too_large(what: str, instead: str) -> str:
    return f"the {what} has more than {READ_BYTES} bytes; {instead}"


def _json(value: Any) -> dict[str, Any]:
    return {"mimeType": _JSON, "text": as_bytes(value).decode()}


Reader = Callable[[Exchange, str, Mapping[str, str]], Awaitable[dict[str, Any]]]
# By the host of the address and what stands behind it; "…" is a name.
_READERS: Mapping[tuple[str, ...], Reader] = {
    ("sources",): _sources,
    ("models",): _models,
    ("threads", "…"): _markdown,
    ("threads", "…", "transcript"): _transcript,
    ("files", "…"): _of_file,
}
