"""Clients that talk to a service until it dies, and keep a journal of what it acknowledged."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import httpx

from tests.campaigns.journal import Journal, Sent

KINDS = ("hi", "hi", "one", "two", "two")
# A thread is left for a new one after so many messages, so that its state still has all of them.
LONGEST = 12
PATIENCE = httpx.Timeout(60.0)


class Client:
    """One person. Sends one message after the other, in every way there is.

    Args:
        shared: A thread that it has in common with another client, instead of threads of its own.
    """

    def __init__(
        self, number: int, url: str, journal: Journal, chance: random.Random, *, shared: bool = False
    ) -> None:
        self.number = number
        self.shared = shared
        self.journal = journal
        self.chance = chance
        self.http = httpx.AsyncClient(base_url=url, timeout=PATIENCE, trust_env=False)
        self.count = 0
        self.on_thread = 0
        self.epoch = 0

    @property
    def thread(self) -> str:
        return f"shared-{self.epoch}" if self.shared else f"c{self.number}-{self.epoch}"

    async def talk(self) -> None:
        """Send until the service is not there any more, or refuses everything."""
        while True:
            try:
                if not await self._send_something():
                    return
            except httpx.TransportError:
                return

    async def probe(self) -> list[str]:
        """The next message after a death: it has to work at the first try. Says what is wrong."""
        sent = self._new("invoke", "hi")
        answer = await self._invoke(sent, on_busy="enqueue" if self.shared else "reject")
        if answer.status_code != 200:
            return [
                f"thread {sent.thread} refuses the next message: {answer.status_code} {answer.text[:200]}"
            ]
        output = answer.json()["output"]
        if output["status"] != "done" or sent.id not in output["answer"]:
            return [f"thread {sent.thread} answers the next message with {output}"]
        return []

    async def send_again(self, sent: Sent) -> list[str]:
        """A message whose fate is not known, with the key that it had. Says what is wrong."""
        was_known = sent.run_id
        sent.resent = not sent.must_stand
        answer = await self._background(sent)
        if answer.status_code != 202:
            return [f"{sent.id} sent again with its key: {answer.status_code} {answer.text[:200]}"]
        if was_known and answer.json()["run_id"] != was_known:
            return [f"{sent.id} sent again with its key became another run"]
        return []

    def turn_page(self) -> None:
        """Go on in a new thread where the present one is long enough."""
        if self.on_thread >= LONGEST:
            self.epoch += 1
            self.on_thread = 0

    async def aclose(self) -> None:
        await self.http.aclose()

    async def _send_something(self) -> bool:
        """False when the service shuts down."""
        how = self.chance.choice(("invoke", "stream", "background"))
        if how == "background":
            return await self._burst()
        sent = self._new(how, self.chance.choice(KINDS))
        on_busy = "enqueue" if self.shared or self.chance.random() < 0.5 else "reject"
        answer = await (self._stream if how == "stream" else self._invoke)(sent, on_busy=on_busy)
        return answer.status_code != 503

    async def _burst(self) -> bool:
        run_id = ""
        for _ in range(self.chance.randint(1, 3)):
            answer = await self._background(self._new("background", self.chance.choice(KINDS)))
            if answer.status_code == 503:
                return False
            run_id = answer.json().get("run_id", "")
        if run_id:
            await self.http.get(f"/runs/{run_id}/wait", params={"timeout": 30})
        return True

    def _new(self, how: str, kind: str) -> Sent:
        self.count += 1
        self.on_thread += 1
        name = f"c{self.number}.{self.count}"
        key = f"key-{name}" if how == "background" else None
        return self.journal.add(Sent(name, kind, self.thread, self.number, how, key))

    async def _invoke(self, sent: Sent, *, on_busy: str) -> httpx.Response:
        answer = await self.http.post("/agent/invoke", json=body_of(sent, on_busy))
        self._noted(sent, answer)
        if answer.status_code == 200:
            output = answer.json()["output"]
            sent.acknowledge(output["run_id"])
            sent.end(output["status"])
        return answer

    async def _stream(self, sent: Sent, *, on_busy: str) -> httpx.Response:
        async with self.http.stream("POST", "/agent/stream", json=body_of(sent, on_busy)) as answer:
            if answer.status_code != 200:
                await answer.aread()
                self._noted(sent, answer)
                return answer
            async for line in answer.aiter_lines():
                if not line.startswith("data: "):
                    continue
                event = json.loads(line[6:])
                sent.acknowledge(event["run_id"])
                if event["type"] in ("done", "error"):
                    sent.end(event.get("status", "failed"))
        return answer

    async def _background(self, sent: Sent) -> httpx.Response:
        body = {"input": {"message": sent.text}, "on_busy": "enqueue"}
        headers = {"Idempotency-Key": sent.key or ""}
        answer = await self.http.post(f"/threads/{sent.thread}/runs", json=body, headers=headers)
        self._noted(sent, answer)
        if answer.status_code == 202:
            sent.acknowledge(answer.json()["run_id"])
        return answer

    def _noted(self, sent: Sent, answer: httpx.Response) -> None:
        if 400 <= answer.status_code < 500 or answer.status_code == 503:
            sent.state = "refused"


def body_of(sent: Sent, on_busy: str) -> dict[str, Any]:
    wishes = {"thread_id": sent.thread, "on_busy": on_busy}
    return {"input": {"message": sent.text}, "config": {"configurable": wishes}}


async def all_of(clients: list[Client]) -> None:
    """Let every client talk until the service is dead to it."""
    await asyncio.gather(*(client.talk() for client in clients))
