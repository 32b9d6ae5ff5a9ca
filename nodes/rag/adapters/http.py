"""Retrieval over HTTP, as other backends of this family offer it: v1, v2, and both shapes of discovery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from pydantic import ValidationError

from core.errors import WaystationError
from core.health import Health, degraded, healthy
from nodes.rag.adapters import wire
from nodes.rag.adapters.web import call_json
from nodes.rag.errors import SourceRefused, SourceUnavailable
from nodes.rag.models import Collection, Passage
from nodes.rag.sources import HttpSource

MAX_QUERY_CHARS = 8000
_HEALTH_USER = "health"
_HEALTH_SECONDS = 3.0


class HttpRetriever:
    """Asks the service of `entry` in the name of each user.

    Args:
        http: A kept client, shared by all sources.
        timeout_s: Longest silence of the service; None: what the entry says.
    """

    def __init__(
        self, source: str, entry: HttpSource, *, http: httpx.AsyncClient, timeout_s: float | None = None
    ) -> None:
        self._source = source
        self._entry = entry
        self._http = http
        self._timeout_s = timeout_s or entry.timeout

    async def search(
        self, query: str, *, limit: int, as_user: str, within: Sequence[Collection] | None = None
    ) -> Sequence[Passage]:
        """What the service finds in these collections, or in all that it shows to the user."""
        if not query.strip():
            return []
        found = await self.collections(as_user=as_user) if within is None else within
        if not found:
            return []
        corpora = [collection.id for collection in found]
        top_k = min(limit, self._entry.top_k)
        body = self._query(query[:MAX_QUERY_CHARS], corpora, top_k)
        answer = await self._call("POST", self._query_path, as_user, body=body)
        try:
            parse = wire.passages_v2 if self._entry.api_version == "v2" else wire.passages_v1
            return parse(answer, source=self._source)[:top_k]
        except ValidationError as error:
            raise SourceUnavailable("the answer has a shape that is not known here") from error

    async def collections(self, *, as_user: str) -> Sequence[Collection]:
        """What discovery shows to the user now."""
        return await self._discover(as_user)

    async def check(self) -> Health:
        """Healthy when discovery answers, be it with a refusal."""
        try:
            await self._discover(_HEALTH_USER, timeout=_HEALTH_SECONDS)
        except SourceRefused:
            return healthy()
        except WaystationError as error:
            return degraded(error.detail)
        return healthy()

    async def _discover(self, as_user: str, *, timeout: float | None = None) -> list[Collection]:
        path = self._entry.discovery_endpoint or f"/api/{self._entry.api_version}/discover/datasources"
        answer = await self._call("GET", path, as_user, params={"role": "read"}, timeout=timeout)
        try:
            return wire.collections(answer)
        except ValidationError as error:
            raise SourceUnavailable("the discovery has a shape that is not known here") from error

    @property
    def _query_path(self) -> str:
        usual = "/api/v2/rag/query" if self._entry.api_version == "v2" else "/api/v1/rag/completions"
        return self._entry.query_endpoint or usual

    def _query(self, query: str, corpora: list[str], top_k: int) -> dict[str, Any]:
        if self._entry.api_version == "v2":
            return {"query": query, "corpora": corpora, "mode": self._entry.default_mode, "top_k": top_k}
        body: dict[str, Any] = {
            "messages": [{"role": "user", "content": query}],
            "stream": False,
            "corpora": corpora[0] if len(corpora) == 1 else corpora,
        }
        return body | ({"model": self._entry.default_model} if self._entry.default_model else {})

    async def _call(
        self,
        method: str,
        path: str,
        as_user: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        user = as_user.split("@", maxsplit=1)[0] if self._entry.strip_domain else as_user
        token = self._entry.bearer_token
        return await call_json(
            self._http,
            method,
            path if path.startswith(("http://", "https://")) else f"{self._entry.url}/{path.lstrip('/')}",
            token=token.get_secret_value() if token else "",
            timeout=timeout or self._timeout_s,
            params={**(params or {}), "as_user": user},
            body=body,
        )
