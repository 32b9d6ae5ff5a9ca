"""A client per model, and the one way to call it: through the model's policy and its clocks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from core.editions import Kept
from core.errors import WaystationError
from core.resilience import Policies, Policy
from nodes.llm.errors import ModelRefused, ModelTimedOut
from nodes.llm.models import Model
from nodes.llm.pieces import Chunk
from nodes.llm.ports import ChatModel
from nodes.llm.settings import ModelEntry
from nodes.llm.streams import Clocks, Patience, has_content, watched

_OFFLINE_SECONDS = 60.0


class Connection:
    """A model's client and policy. The offline model leaves nobody to wait for, and has no policy.

    Args:
        first: Longest silence before the first content where its entry says nothing of it.
    """

    def __init__(
        self, model: Model, client: ChatModel, policy: Policy | None, *, first: float | None = None
    ) -> None:
        self._name = model.name
        self._client = client
        self._policy = policy
        self._patience = Patience.of_one(_OFFLINE_SECONDS)
        if model.entry is not None and policy is not None:
            self._patience = patience_of(model.entry, policy, first)

    def stream(
        self,
        messages: Sequence[BaseMessage],
        *,
        tools: Sequence[Mapping[str, Any]],
        temperature: float | None,
        user: str,
    ) -> AsyncIterator[Chunk]:
        """The answer as it comes; tried again where it fails before its first content.

        Raises:
            BreakerOpen, TooBusy: The endpoint is not asked now.
            ModelUnavailable, ModelTimedOut, ModelRefused: As its client and `watched` say.
        """
        clocks = Clocks(self._patience)

        def opened() -> AsyncIterator[Chunk]:
            stream = self._client.stream(messages, tools=tools, temperature=temperature, user=user)
            return watched(stream, clocks, self._name)

        if self._policy is None:
            return opened()
        return self._policy.stream(
            opened, content=has_content, timeout_s=self._patience.begin, late=self._late
        )

    async def ping(self) -> list[str]:
        """Names of the models that the endpoint serves; asks it also while its breaker is open."""
        return await self._client.ping()

    async def returned(self) -> bool:
        """An endpoint that was gone answers: let that be its breaker's probe. True once it is used again."""
        if self._policy is None:
            return True
        try:
            await self._policy.call(self._client.ping, retry=False)
        except WaystationError:
            return False
        return True

    async def aclose(self) -> None:
        """Give back the client's connections."""
        await self._client.aclose()

    def _late(self, seconds: float) -> ModelTimedOut:
        key = "timeout_s" if self._patience.strict else "first_token_timeout_s"
        return ModelTimedOut(f"the model '{self._name}' did not begin within {seconds:g} s ({key})")


def patience_of(entry: ModelEntry, policy: Policy, first: float | None) -> Patience:
    """How long a model is waited for.

    A `timeout_s` that somebody has set is the longest answer with all tries. Where
    nobody has, a model that loads for long does not take that time from its answer.
    """
    timeout, strict = policy.settings.timeout_s, "timeout_s" in policy.settings.model_fields_set
    patience = entry.first_token_timeout_s or first or entry.kind.first_byte_s
    return Patience(
        first=patience,
        silence=min(entry.silence_timeout_s, patience)
        if entry.first_token_timeout_s
        else entry.silence_timeout_s,
        begin=timeout if strict else max(timeout, patience),
        whole=timeout,
        strict=strict,
    )


class Connections:
    """Keeps one connection per model, as long as a living edition has its entry.

    Args:
        living: Gives the models, by name, of each edition that lives.
        connect: Makes the client of a model; called once per entry, at first use.
        policies: Where the policy of each model comes from.
        first: Longest silence before the first content where an entry says nothing of it.
    """

    def __init__(
        self,
        living: Callable[[], Iterable[Mapping[str, Model]]],
        connect: Callable[[Model], ChatModel],
        policies: Policies,
        *,
        first: float | None = None,
    ) -> None:
        self._living = living
        self._first = first
        self._connect = connect
        self._policies = policies
        self._kept: Kept[Model, Connection] = Kept(living, self._made, Connection.aclose)

    def of(self, model: Model) -> Connection:
        """The connection of a model.

        Raises:
            ModelRefused: It wants a key that is not there.
        """
        if model.entry and model.entry.api_key_source == "user":
            raise ModelRefused(
                f"the model '{model.name}' wants a key of each user, and none can be given here yet"
            )
        return self._kept.get(model.name, model)

    async def tidy(self) -> None:
        """Close what no living edition has an entry for."""
        self._policies.retain("model", {name for models in self._living() for name in models})
        await self._kept.tidy()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._kept.aclose()

    def _made(self, _: str, model: Model) -> Connection:
        policy = self._policy(model.name, model.entry) if model.entry else None
        return Connection(model, self._connect(model), policy, first=self._first)

    def _policy(self, name: str, entry: ModelEntry) -> Policy:
        """An entry that says nothing of a number leaves it to `resilience.model`."""
        says = entry.model_fields_set
        return self._policies.of(
            "model",
            name,
            timeout_s=entry.timeout_s if "timeout_s" in says else None,
            attempts=entry.retries + 1 if "retries" in says else None,
        )
