"""Who may write the index in the bucket: one home, which says so again and again."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from core.objects import Object, Objects
from nodes.rag.shared.generation import WRITER

# After so long without a word from the writer, another may take its place. The store's clock counts.
LEASE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Holder:
    """A home, that of all processes on one WAYSTATION_HOME, and what people call its machine."""

    id: str
    host: str


class Lease:
    """The right to write one index."""

    def __init__(self, objects: Objects, holder: Holder, *, seconds: float = LEASE_SECONDS) -> None:
        self._objects = objects
        self._me = holder
        self._seconds = seconds
        self.writer = ""

    async def mine(self) -> bool:
        """Take it, or keep it; False while another one has it, whom `writer` names then."""
        found = await self._objects.read(WRITER)
        there = _holder(found)
        if found is not None and there.id != self._me.id and found.age_s < self._seconds:
            self.writer = there.host
            return False
        if found is not None and there.id == self._me.id and found.age_s < self._seconds / 3:
            return True
        said = {"id": self._me.id, "host": self._me.host, "word": uuid.uuid4().hex}
        got = await self._objects.replace(WRITER, orjson.dumps(said), tag=found.tag if found else "")
        self.writer = self._me.host if got else "another process"
        return got

    async def give_up(self) -> None:
        """Let another one write at once."""
        if _holder(await self._objects.read(WRITER)).id == self._me.id:
            await self._objects.delete([WRITER])


def _holder(found: Object | None) -> Holder:
    try:
        data: Any = orjson.loads(found.content) if found else {}
        return Holder(str(data["id"]), str(data["host"]))
    except (ValueError, KeyError, TypeError):
        return Holder("", "a process that did not say its name")


def holder_of(folder: Path, host: str) -> Holder:
    """The home of the indexes in `folder`; it has one name, whichever process asks."""
    path = folder / "holder"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"holder.{uuid.uuid4().hex}"
        draft.write_text(uuid.uuid4().hex, encoding="utf-8")
        try:
            path.hardlink_to(draft)  # the first one stays
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    # A copy of the folder on another machine is another home.
    return Holder(f"{path.read_text(encoding='utf-8').strip()}@{host}", host)
