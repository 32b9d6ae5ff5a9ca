"""The graph's step that keeps what a turn made and used: artifacts and uploads become files of the thread."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from core.access import Principal, RunContext, context_of
from core.correlation import current
from core.errors import Unavailable, WaystationError
from nodes.file_storage.errors import InvalidFile
from nodes.file_storage.manager import FileManager
from nodes.file_storage.naming import derived_key, name_of

# The entry of the `files` channel, with the run whose reply has it, and the event for watchers ({}: none).
Kept = tuple[dict[str, Any], dict[str, Any]]


class Reads(TypedDict, total=False):
    artifacts: list[dict[str, Any]]
    files: list[dict[str, Any]]


class Writes(TypedDict, total=False):
    artifacts: list[dict[str, Any]] | None
    files: list[dict[str, Any]]


class StoreFiles:
    """Stores each artifact under a key of its own, and attaches uploads to the thread.

    Running it again stores nothing twice. What cannot be stored becomes a notice: the answer is there.
    """

    def __init__(self, files: FileManager) -> None:
        self._files = files

    async def __call__(self, state: Reads, runtime: Runtime[RunContext]) -> Writes:
        artifacts, files = state.get("artifacts") or [], state.get("files") or []
        thread = runtime.execution_info.thread_id if runtime.execution_info else None
        uploads = [ref for ref in files if thread and ref.get("thread") != thread]
        if not artifacts and not uploads:
            return {}
        principal, refs = context_of(runtime).principal, list[dict[str, Any]]()
        outage: Unavailable | None = None
        for thing in [*artifacts, *uploads]:
            keep = self._attach if "key" in thing else self._store
            try:
                if outage:  # the rest would only wait for the same, in vain
                    raise outage
                ref, event = await keep(principal, thing, thread)
            except WaystationError as error:
                outage = error if isinstance(error, Unavailable) else outage
                detail = f"'{name_of(thing)}': {error.detail}"
                event = {"type": "notice", "code": error.code, "detail": detail}
            else:
                refs.append(ref)
            if event:
                runtime.stream_writer(event)
        # After an outage the artifacts stay, and the thread's next turn stores them.
        return {"files": refs} if outage or not artifacts else {"files": refs, "artifacts": None}

    async def _store(self, principal: Principal, artifact: dict[str, Any], thread: str | None) -> Kept:
        try:
            content = b64decode(artifact.get("b64") or "", validate=True)
        except (TypeError, ValueError):
            raise InvalidFile("the content is not base64") from None
        key = derived_key(thread, artifact["id"]) if thread else None
        name, kind, put = name_of(artifact), artifact.get("media_type"), self._files.put
        info = await put(principal, name, content, media_type=kind, origin="tool", thread=thread, key=key)
        ref = info.as_ref()
        told = {k: ref[k] for k in ref if k != "origin"}
        return {**ref, "thread": thread, "run": current().run_id}, {"type": "file", **told}

    async def _attach(self, principal: Principal, ref: dict[str, Any], thread: str | None) -> Kept:
        await self._files.attach(principal, ref["key"], thread or "")
        return {**ref, "thread": thread}, {}
