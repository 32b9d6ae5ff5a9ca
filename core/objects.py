"""Objects in a bucket that one module keeps, for the use of another: modules do not know each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from core.errors import Unavailable
from core.registry import declared, loaded


@dataclass(frozen=True, slots=True)
class Object:
    """A small object as it was read.

    Args:
        tag: Another text for each content.
        age_s: Seconds since it was written, by the clock of the store.
    """

    content: bytes
    tag: str
    age_s: float


class Objects(Protocol):
    """A part of a bucket. Names are below that part.

    Every method raises Unavailable or TimedOut where the bucket cannot be used now, and NotAllowed
    where it refuses us.
    """

    async def read(self, name: str) -> Object | None:
        """A small object; None where it is not there."""
        ...

    async def replace(self, name: str, content: bytes, *, tag: str) -> bool:
        """Write a small object in place of the one with this tag; "": where there is none.

        False where another one is there meanwhile, which stays.
        """
        ...

    async def upload(self, name: str, path: Path) -> None:
        """Store a file, whole or not at all."""
        ...

    async def download(self, name: str, path: Path) -> bool:
        """Write an object to a new file; False where it is not there."""
        ...

    async def ages(self, below: str) -> dict[str, float]:
        """The names below one, each with its age in seconds, by the clock of the store."""
        ...

    async def delete(self, names: Iterable[str]) -> None:
        """Remove objects; those that are not there are removed already."""
        ...

    def below(self, prefix: str) -> Objects:
        """A part of this part; it is closed with the whole."""
        ...

    def close(self) -> None:
        """Let go of the connections."""
        ...


def lend_objects(url: str, *, context: Any, policies: Any) -> Objects:
    """A part of a bucket, from the module that keeps one.

    Args:
        url: `s3://bucket/prefix`.
        context: Of the settings (`core.settings.Context`), for address and credentials.
        policies: How the bucket is called (`core.resilience.Policies`).

    Raises:
        ConfigInvalid: Its settings are not complete, or a package is missing.
        Unavailable: No module here keeps objects.
    """
    for module in declared():
        if module.objects is not None:
            lent: Objects = loaded(module.objects)(url, context=context, policies=policies)
            return lent
    raise Unavailable("no module here keeps objects in a bucket; see `waystation modules`")
