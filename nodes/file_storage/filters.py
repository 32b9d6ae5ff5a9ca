"""Which files of a list are wanted: by origin, thread, name, type and tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.words import fold
from nodes.file_storage.models import FileInfo, Origin


@dataclass(frozen=True, slots=True)
class Filter:
    """All that is given has to hold.

    Args:
        q: Words, each of which stands in the name or in a tag; case and accents do not count.
        media_type: `text/csv`, or `image/` for every image.
        tags: Tags that the file has; with "" for a value, the tag is there whatever it says.
    """

    origin: Origin | None = None
    thread: str | None = None
    q: str = ""
    media_type: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def takes(self, info: FileInfo) -> bool:
        if self.origin not in (None, info.origin) or self.thread not in (None, info.thread):
            return False
        if self.media_type and not _of_type(info.media_type, self.media_type):
            return False
        if not all(name in info.tags and value in ("", info.tags[name]) for name, value in self.tags.items()):
            return False
        if not self.q:
            return True
        said = fold(" ".join([info.name, *(f"{name} {value}" for name, value in info.tags.items())]))
        return all(word in said for word in fold(self.q).split())


def _of_type(media_type: str, wanted: str) -> bool:
    kind = media_type.partition(";")[0].strip()
    return kind.startswith(wanted) if wanted.endswith("/") else kind == wanted
