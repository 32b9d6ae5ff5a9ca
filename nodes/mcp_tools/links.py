"""What stands in for file links where no file storage is."""

from __future__ import annotations

from core.access import Principal
from core.errors import Unavailable


class NoFileLinks:
    """For this module alone: there are no files of a thread, so none can be linked."""

    async def link(self, key: str, *, principal: Principal) -> str:
        raise Unavailable("files of a thread cannot be reached from here; run the whole service")
