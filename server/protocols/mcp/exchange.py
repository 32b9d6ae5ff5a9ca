"""One request of a client on its way: who asks, in which dialect, and how to speak up before the answer."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import orjson

from core.access import Principal
from core.settings.platform import ServerSettings
from graph.agent import Agent
from server.protocols.mcp import rpc
from server.protocols.mcp.seals import Seals

HANDSHAKE = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN = ("2026-07-28",)
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
_LINKS_SINCE = "2025-06-18"
_RESUMES_SINCE = "2025-11-25"
_SPOT = re.compile(r"([A-Za-z0-9_-]{1,64})\.(\d{1,15})\.(\d{1,9})\.(\d{1,9})\.([A-Za-z0-9_-]{1,2000})")


class Tell(Protocol):
    """Sends a message on the way to the answer, with the place behind it."""

    async def __call__(self, message: bytes, place: str = "") -> None: ...


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """Where a client stands in a stream of `ask`.

    Its id is plain: what it says is asked for with the caller's own rights.

    Args:
        run, seq: The run, and its last event that was told.
        steps: How much progress was told.
        asked: The attempt of the run whose question was put.
        key, token: The request's id, and the name for its progress.
    """

    run: str
    key: rpc.RequestId
    token: str | int | None
    seq: int = 0
    steps: int = 0
    asked: int = 0

    @property
    def id(self) -> str:
        names = urlsafe_b64encode(orjson.dumps([self.key, self.token])).decode().rstrip("=")
        return f"{self.run}.{self.seq}.{self.steps}.{self.asked}.{names}"

    @classmethod
    def of(cls, given: str) -> StreamPosition:
        """Raises Refusal."""
        found = _SPOT.fullmatch(given)
        try:
            names = orjson.loads(urlsafe_b64decode(found[5] + "=" * (-len(found[5]) % 4))) if found else None
        except ValueError:
            names = None
        if found is None or not isinstance(names, list) or len(names) != 2 or not rpc.is_id(names[0]):
            told = "Last-Event-ID is no place in a stream of this service"
            raise rpc.Refusal(rpc.INVALID_REQUEST, told, status=400)
        token = names[1] if rpc.is_id(names[1]) else None
        return cls(found[1], names[0], token, int(found[2]), int(found[3]), int(found[4]))


@dataclass(frozen=True, slots=True)
class Session:
    """What the client said of itself.

    Args:
        version: The dialect that is spoken.
        elicits: It can put a form to its person.
        nonce: Tells one from another that says the same; empty where nothing has to.
    """

    version: str
    elicits: bool = False
    nonce: str = ""

    @property
    def modern(self) -> bool:
        return self.version in MODERN

    @property
    def links(self) -> bool:
        """The dialect knows links to resources in answers."""
        return self.version >= _LINKS_SINCE

    @property
    def resumes(self) -> bool:
        """The dialect knows events without a message, to come back to."""
        return self.version in HANDSHAKE and self.version >= _RESUMES_SINCE

    def as_words(self) -> dict[str, Any]:
        return {"v": self.version, "e": self.elicits, "n": self.nonce}

    @classmethod
    def of(cls, words: Mapping[str, Any]) -> Session:
        return cls(words["v"], words["e"], words["n"])


@dataclass(slots=True)
class Exchange:
    """A request, and the way back to who sent it.

    Args:
        gateway: The tools of all tool servers are offered too.
        resumable: A client that loses the stream of its answer can come back to it.
        spot: Where the client stands, once there is a run to come back to.
        cancelled: The client has taken its request back.
    """

    agent: Agent
    who: Principal
    seals: Seals
    session: Session
    message: rpc.Message
    tell: Tell
    gateway: bool = False
    resumable: bool = False
    spot: StreamPosition | None = None
    cancelled: bool = False
    _steps: int = field(default=0, init=False)

    @property
    def params(self) -> Mapping[str, Any]:
        return self.message.params

    @property
    def token(self) -> str | int | None:
        """Where progress is wanted, the name for it."""
        found = self.message.meta.get("progressToken")
        wanted = isinstance(found, str | int) and not isinstance(found, bool)
        return found if wanted else None

    @property
    def place(self) -> str:
        """The id of what is told now; "" where nobody can come back to it."""
        return self.spot.id if self.spot else ""

    def at(self, *, seq: int | None = None, asked: int | None = None) -> None:
        """The client stands here with what is told next."""
        if self.spot is not None:
            spot = self.spot
            self.spot = replace(
                spot, seq=spot.seq if seq is None else seq, asked=spot.asked if asked is None else asked
            )

    async def progress(self, message: str, *, done: float | None = None, total: float | None = None) -> None:
        """Tell of progress, where the client wants to know.

        Args:
            done: By default one step more than before: it has to rise each time.
        """
        token = self.token
        if token is None:
            return
        self._steps = (self.spot.steps if self.spot else self._steps) + 1
        if self.spot:
            self.spot = replace(self.spot, steps=self._steps)
        told: dict[str, Any] = {"progressToken": token, "progress": self._steps if done is None else done}
        if total is not None:
            told["total"] = total
        if message:
            told["message"] = message
        await self.tell(rpc.notification("notifications/progress", told), self.place)

    async def question(self, words: Mapping[str, Any], params: Mapping[str, Any]) -> None:
        """Put a form to the client's person; the answer comes as a message of its own (up to 2025-11-25).

        Args:
            words: What whoever reads the answer has to know.
        """
        key = self.seals.seal("question", self.who.id, words)
        await self.tell(rpc.request(key, "elicitation/create", params), self.place)

    def state(self, words: Mapping[str, Any]) -> str:
        """What the client sends back with its answers (from 2026-07-28 on)."""
        return self.seals.seal("state", self.who.id, words)

    def given_state(self) -> dict[str, Any] | None:
        """What came back; None where this is a first request.

        Raises:
            Refusal: It is not ours, or not this user's.
        """
        sealed = self.params.get("requestState")
        if sealed is None or not self.session.modern:
            return None
        found = self.seals.open("state", self.who.id, sealed)
        if found is None:
            raise rpc.Refusal(
                rpc.INVALID_PARAMS, "requestState is not what this service gave to you; call again without it"
            )
        return found


def gateway_of(agent: Agent) -> bool:
    """Whether the tools of all tool servers are offered over HTTP."""
    return agent.book[ServerSettings].mcp_gateway
