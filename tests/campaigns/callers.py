"""Clients of a fleet, with turns of every kind; what is wrong with their answers is kept."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx

from tests.campaigns.reading import ENDS, Event, data_of, events

TURN_SECONDS = 120.0


class Clients:
    """Turns of all kinds; what is wrong with them is kept."""

    # For the end of a run in the background.
    wait_seconds = TURN_SECONDS

    def __init__(self, http: httpx.AsyncClient, *, seed: int) -> None:
        self._http = http
        self._chance = random.Random(seed)  # noqa: S311 - not for secrets
        self._numbers = itertools.count(1)
        self.wrong: list[str] = []
        self.kinds: Counter[str] = Counter()
        self.asked: dict[str, str] = {}
        self.ways: dict[str, Callable[[str], Awaitable[str]]] = {
            "stream": self.stream,
            "cut": self.cut,
            "invoke": self.invoke,
            "approval": self.approve,
            "cancel": self.cancel,
            "upload": self.upload,
            "background": self.background,
        }

    @asynccontextmanager
    async def held(self, count: int, free: Callable[[list[str]], None]) -> AsyncIterator[None]:
        """So many streams that have begun to speak go on over the block, and have their answer behind it."""
        names = [f"h{next(self._numbers)}" for _ in range(count)]
        speaks = [asyncio.Event() for _ in names]
        tasks = [asyncio.create_task(self._held(*pair)) for pair in zip(names, speaks, strict=True)]
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await asyncio.gather(*(each.wait() for each in speaks))
            yield
        finally:
            await asyncio.to_thread(free, names)
            for name, found in zip(names, await asyncio.gather(*tasks), strict=True):
                self.kinds["held"] += 1
                if found:
                    self.wrong.append(f"held {name}: {found}")

    async def _held(self, name: str, speaks: asyncio.Event) -> str:
        got: list[Event] = []
        async with self._streamed(self._body(name, "hold")) as found:
            async for event in found:
                got.append(event)
                if event["type"] == "token":
                    speaks.set()
        answers = (f"the answer to {name} is this", f"{name} waits for you")
        wrong = [_said(got, answer) for answer in answers]
        return "" if "" in wrong else wrong[0]

    async def some(self, clients: int, turns: int) -> None:
        """So many turns of these clients, of every kind in turn."""
        kinds = itertools.islice(itertools.cycle(self.ways), turns)

        async def client() -> None:
            for kind in kinds:
                await self._one(kind)

        await asyncio.gather(*(client() for _ in range(clients)))

    async def _one(self, kind: str) -> None:
        name = f"f{next(self._numbers)}"
        self.kinds[kind] += 1
        try:
            async with asyncio.timeout(TURN_SECONDS):
                if wrong := await self.ways[kind](name):
                    self.wrong.append(f"{kind} {name}: {wrong}")
        except (TimeoutError, httpx.HTTPError, AssertionError) as error:
            self.wrong.append(f"{kind} {name}: {type(error).__name__} {str(error)[:200]}")

    def _body(self, name: str, text: str, **more: Any) -> dict[str, Any]:
        self.asked[name] = f"{name} {text}"
        given = {"message": f"{name} {text}", **more}
        return {"input": given, "config": {"configurable": {"thread_id": name}}}

    @asynccontextmanager
    async def _streamed(self, body: dict[str, Any]) -> AsyncIterator[AsyncIterator[Event]]:
        async with self._http.stream("POST", "/agent/stream", json=body) as answer:
            assert answer.status_code == 200, (await answer.aread()).decode()[:300]
            async with aclosing(data_of(answer)) as found:
                yield found

    # -- how something is asked; `persistent.Persistent` asks again -----------------------------------

    async def _posted(self, path: str, name: str, **given: Any) -> httpx.Response:
        """The answer to a POST for this message."""
        return await self._http.post(path, **given)

    async def _got(self, path: str, **params: Any) -> httpx.Response:
        return await self._http.get(path, params=params)

    def _events(self, run_id: str, after: int) -> AsyncGenerator[Event, None]:
        """The run's events above this number."""
        return events(self._http, run_id, after, by_header=True)

    # -- the ways -------------------------------------------------------------------------------------

    async def stream(self, name: str) -> str:
        async with self._streamed(self._body(name, "say 25")) as found:
            return _said([event async for event in found], _words(name, 25))

    async def cut(self, name: str) -> str:
        """A stream that is cut a few times, and read on by its number."""
        body = self._body(name, "say 25")
        body["config"]["configurable"]["on_disconnect"] = "continue"
        got: list[Event] = []
        async with self._streamed(body) as found:
            got.append(await anext(found))
        run_id = got[0]["run_id"]
        while got[-1]["type"] not in ENDS:
            size = self._chance.randint(3, 12)
            piece = self._events(run_id, got[-1]["seq"])
            async with aclosing(piece):
                async for event in piece:
                    got.append(event)
                    size -= 1
                    if not size:
                        break
        again = [event async for event in self._events(run_id, 0)]
        tail = "".join(e["delta"] for e in got if e["type"] == "token")
        stored = "".join(e["delta"] for e in again if e["type"] == "token")
        if not tail.endswith(_words(name, 25)) or not stored.endswith(_words(name, 25)):
            return f"its pieces say {tail!r}, the whole {stored!r}; {_said(got, _words(name, 25))} {got[-1]}"
        return _said(got, _words(name, 25))

    async def invoke(self, name: str) -> str:
        answer = await self._posted("/agent/invoke", name, json=self._body(name, "one"))
        assert answer.status_code == 200, answer.text[:300]
        return _differs(answer.json()["output"], f"the answer to {name} is this")

    async def approve(self, name: str) -> str:
        async with self._streamed(self._body(name, "ask")) as found:
            got = [event async for event in found]
        if got[-1].get("status") != "interrupted":
            return f"it did not ask: {got[-1]}"
        run_id = got[-1]["run_id"]
        agreed = {"resume": {"approve": True}}
        resumed = await self._posted(f"/runs/{run_id}/resume", name, json=agreed)
        assert resumed.status_code == 202, resumed.text
        later = self._events(run_id, got[-1]["seq"])
        return _said([event async for event in later], f"the answer to {name} is this")

    async def cancel(self, name: str) -> str:
        late = False
        async with self._streamed(self._body(name, "hold")) as found:
            async for event in found:
                if event["type"] == "token":
                    answer = await self._posted(f"/runs/{event['run_id']}/cancel", name)
                    # It may be over: a second token comes behind the first wish.
                    assert answer.status_code in (202, 409), answer.text
                    late = late or answer.status_code == 409
                if event["type"] in ENDS:
                    # Held answers are freed together, also one whose wish comes late.
                    whole = late and not _differs(event, f"{name} waits for you")
                    return "" if whole or event.get("status") == "cancelled" else f"it ended as {event}"
        return "its stream has no end"

    async def upload(self, name: str) -> str:
        file = (f"{name}.txt", b"what is in it")
        sent = await self._posted("/files", name, files={"file": file})
        assert sent.status_code in (200, 201), sent.text
        body = self._body(name, "hi", files=[sent.json()["key"]])
        answer = await self._posted("/agent/invoke", name, json=body)
        assert answer.status_code == 200, answer.text[:300]
        return _differs(answer.json()["output"], f"the answer to {name} is this")

    async def background(self, name: str) -> str:
        body = {"input": self._body(name, "two")["input"]}
        begun = await self._posted(f"/threads/{name}/runs", name, json=body)
        assert begun.status_code == 202, begun.text
        run_id = begun.json()["run_id"]
        waited = await self._got(f"/runs/{run_id}/wait", timeout=self.wait_seconds)
        return _differs(waited.json()["output"] or {}, f"the answer to {name} is this")

    async def transcripts(self) -> list[str]:
        """Each message stands once, in its thread."""
        wrong = []
        for name, text in self.asked.items():
            page = (await self._got(f"/threads/{name}/transcript", limit=200)).json()
            said = [message["text"] for message in page["messages"] if message["role"] == "user"]
            if said != [text]:
                wrong.append(f"{name}: the transcript has {said}")
        return wrong


def _words(name: str, count: int) -> str:
    return " ".join(f"{name}-{number}" for number in range(count))


def _said(got: list[Event], wanted: str) -> str:
    numbers = [event["seq"] for event in got if event.get("code") != "waiting_for_worker"]
    if any(later <= earlier for earlier, later in itertools.pairwise(numbers)):
        return f"its numbers do not grow: {numbers}"
    return _differs(got[-1], wanted)


def _differs(output: dict[str, Any], wanted: str) -> str:
    good = output.get("status") == "done" and output.get("answer") == wanted
    return "" if good else f"it ended as {str(output)[:300]}"
