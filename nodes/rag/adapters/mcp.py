"""Sources behind an MCP server: read and listed, not yet searched."""

from __future__ import annotations

from collections.abc import Sequence

from core.health import Health, degraded
from nodes.rag.errors import SourceUnavailable
from nodes.rag.models import Collection, Passage

REASON = "searching sources over MCP is not part of this release; use type http or local"


class McpRetriever:
    """Answers every search with the reason why there is no answer."""

    async def search(
        self, query: str, *, limit: int, as_user: str, within: Sequence[Collection] | None = None
    ) -> Sequence[Passage]:
        raise SourceUnavailable(REASON)

    async def collections(self, *, as_user: str) -> Sequence[Collection]:
        raise SourceUnavailable(REASON)

    async def check(self) -> Health:
        return degraded(REASON)
