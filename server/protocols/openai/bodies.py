"""What both kinds of requests share: fields with a meaning here, those that are refused, and options.

A field that would change the answer, and that nothing is done about, is refused. One that only
says how it is had (tiers, caches, predictions, who the end user is), or that nobody knows, is read over:
clients send new ones all the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field

from core.access import Principal
from graph.agent import Agent
from server.errors import UnsupportedParameter
from server.protocols.openai.client_tools import offered
from server.protocols.openai.forms import call_wanted
from server.protocols.openai.models import chosen
from server.requests import check_options

THREAD_HEADER = "X-Thread-ID"
_WHY = {
    "functions": "send them as tools",
    "function_call": "send tool_choice",
    "n": "one answer for each request: a turn runs tools and stands in its thread, and cannot be had twice",
    "logprobs": "there are no probabilities of tokens",
    "top_logprobs": "there are no probabilities of tokens",
    "logit_bias": "tokens are not weighted",
    "modalities": "only text",
    "audio": "only text",
    "web_search_options": "choose sources with waystation.sources",
    "max_tool_calls": "choose steps with waystation.max_steps",
    "prompt": "prompts are not stored here; send the text",
    "moderation": "nothing is moderated here",
    "image": "no images are made here",
}
_NOTHING: tuple[Any, ...] = (None, False, 0, "", [], {})
_AS_DONE: Mapping[str, Sequence[Any]] = {}


class Body(BaseModel, extra="allow"):
    """What chat completions and responses have in common."""

    model: Annotated[str, Field(min_length=1, max_length=300)]
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    metadata: dict[str, Any] | None = None
    waystation: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    seed: int | None = None

    def refuse(self, *fields: str, but: Mapping[str, Sequence[Any]] = _AS_DONE) -> None:
        """Refuse what is asked for in these fields.

        Args:
            but: Values that ask for nothing more than what is done anyway.

        Raises:
            UnsupportedParameter: Something is.
        """
        given = self.model_extra or {}
        for name in fields:
            value = given.get(name)
            if value not in _NOTHING and value not in but.get(name, ()):
                raise UnsupportedParameter(name, _WHY[name])

    async def options(
        self, agent: Agent, who: Principal, *, thread: str | None, **words: Any
    ) -> dict[str, Any]:
        """What the turn shall run with, as in `configurable`.

        `waystation` in the body is what OpenAI's wire has no word for; its own words win.

        Args:
            words: Choices that this kind of request has in words of its own.

        Raises:
            ModelNotFound, InvalidRequest: Something of it is not allowed.
        """
        choice, only = call_wanted(self.tool_choice)
        words |= {
            "thread_id": thread or (self.metadata or {}).get("thread_id"),
            "model": await chosen(agent, who, self.model),
            "temperature": self.temperature,
            "top_p": self.top_p,
            "client_tools": None if choice == "none" else offered(self.tools, only=only),
            # `none` is said of the client's tools, `auto` says nothing.
            "tool_choice": None if choice in ("none", "auto") else choice,
            "parallel_tool_calls": self.parallel_tool_calls,
            "seed": self.seed,
        }
        given = check_options(self.waystation or {}, "waystation").model_dump(exclude_none=True)
        own = {name: value for name, value in words.items() if value not in (None, "", [])}
        return {**_UNSAID, **given, **check_options(own).model_dump(exclude_none=True)}


_UNSAID = check_options({}).model_dump()
