"""Clients behind a balancer whose hosts come and go: they ask again, and read on where they were."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx

from tests.campaigns.callers import TURN_SECONDS, Clients
from tests.campaigns.reading import ENDS, Event, data_of
from tests.kit.nginx import BY

# A stream that is silent for longer than its heartbeats are apart (15 s) has nobody behind it.
SILENCE_SECONDS = 18.0
# A host that is gone, full, or about to stop.
ELSEWHERE = (429, 502, 503, 504)
PAUSE_SECONDS = 0.3


class Persistent(Clients):
    """The same turns. Whatever begins something has an `Idempotency-Key`, and is sent again as it was."""

    wait_seconds = SILENCE_SECONDS / 2

    def __init__(self, http: httpx.AsyncClient, *, seed: int) -> None:
        super().__init__(http, seed=seed)
        # Why something was asked again, and how many streams went on, at all and at another host.
        self.again: Counter[str] = Counter()
        self.resumed = 0
        self.elsewhere = 0

    async def _posted(self, path: str, name: str, **given: Any) -> httpx.Response:
        headers = {"Idempotency-Key": f"{name}{path.replace('/', '.')}"}
        tries = 0
        while True:
            tries += 1
            try:
                answer = await self._http.post(path, headers=headers, **given)
            except httpx.TransportError as error:
                self.again[type(error).__name__] += 1
            else:
                if path.endswith("/resume") and tries > 1 and answer.status_code == 409:
                    # The first one came through, and its answer got lost.
                    return httpx.Response(202)
                if answer.status_code not in ELSEWHERE:
                    return answer
                self.again[str(answer.status_code)] += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def _got(self, path: str, **params: Any) -> httpx.Response:
        """Also a wait that is over is asked for again: it says that the run goes on."""
        while True:
            try:
                answer = await self._http.get(path, params=params)
            except httpx.TransportError as error:
                self.again[type(error).__name__] += 1
            else:
                if answer.status_code == 200 and answer.json().get("status") not in ("queued", "running"):
                    return answer
                if answer.status_code not in (200, *ELSEWHERE):
                    return answer
                self.again[f"GET {answer.status_code}"] += answer.status_code != 200
            await asyncio.sleep(PAUSE_SECONDS)

    def _body(self, name: str, text: str, **more: Any) -> dict[str, Any]:
        body = super()._body(name, text, **more)
        # Who leaves because a host is silent comes back.
        body["config"]["configurable"]["on_disconnect"] = "continue"
        return body

    @asynccontextmanager
    async def _streamed(self, body: dict[str, Any]) -> AsyncIterator[AsyncIterator[Event]]:
        name = body["config"]["configurable"]["thread_id"]
        asked = {"method": "POST", "url": "/agent/stream", "json": body}
        async with aclosing(self._read(asked, {"Idempotency-Key": f"{name}.stream"}, 0)) as found:
            yield found

    def _events(self, run_id: str, after: int) -> AsyncGenerator[Event, None]:
        return self._read({"method": "GET", "url": f"/runs/{run_id}/events"}, {}, after)

    async def _read(
        self, asked: dict[str, Any], headers: dict[str, str], after: int
    ) -> AsyncGenerator[Event, None]:
        """The events, from whichever host has them next."""
        host = ""
        while True:
            begun = bool(host)
            try:
                given = {**headers, "Last-Event-ID": str(after)}
                async with self._http.stream(**asked, headers=given) as answer:
                    if answer.status_code in ELSEWHERE:
                        self.again[str(answer.status_code)] += 1
                    else:
                        assert answer.status_code == 200, (await answer.aread()).decode()[:300]
                        self.resumed += begun
                        self.elsewhere += begun and answer.headers[BY] != host
                        host = answer.headers[BY]
                        async with aclosing(data_of(answer)) as found:
                            async for event in found:
                                after = max(after, event["seq"])
                                yield event
                                if event["type"] in ENDS:
                                    return
            except httpx.TransportError as error:
                self.again[type(error).__name__] += 1
            await asyncio.sleep(PAUSE_SECONDS)


def timeout() -> httpx.Timeout:
    """What these clients wait for a host to say something."""
    return httpx.Timeout(TURN_SECONDS, read=SILENCE_SECONDS, connect=5.0)
