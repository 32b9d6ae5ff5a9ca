"""One request of a client on its way: who asks, in which dialect, and how to speak up before the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

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

Tell = Callable[[bytes], Awaitable[None]]
"""Sends a message on the way to the answer."""


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
        cancelled: The client has taken its request back.
    """

    agent: Agent
    who: Principal
    seals: Seals
    session: Session
    message: rpc.Message
    tell: Tell
    gateway: bool = False
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

    async def progress(self, message: str, *, done: float | None = None, total: float | None = None) -> None:
        """Tell of progress, where the client wants to know.

        Args:
            done: By default one step more than before: it has to rise each time.
        """
        token = self.token
        if token is None:
            return
        self._steps += 1
        told: dict[str, Any] = {"progressToken": token, "progress": self._steps if done is None else done}
        if total is not None:
            told["total"] = total
        if message:
            told["message"] = message
        await self.tell(rpc.notification("notifications/progress", told))

    async def question(self, words: Mapping[str, Any], params: Mapping[str, Any]) -> None:
        """Put a form to the client's person; the answer comes as a message of its own (up to 2025-11-25).

        Args:
            words: What whoever reads the answer has to know.
        """
        key = self.seals.seal("question", self.who.id, words)
        await self.tell(rpc.request(key, "elicitation/create", params))

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
