"""A client per model, and the one way to call it: through the model's policy and its clocks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from langchain_core.messages import BaseMessage

from core.errors import WaystationError
from core.resilience import Policies, Policy
from core.settings.book import EntryResources
from nodes.llm.errors import ModelRefused, ModelStreamCut, ModelTimedOut
from nodes.llm.models import Model
from nodes.llm.pieces import BROKEN, Chunk, finish_of
from nodes.llm.ports import ChatModel
from nodes.llm.settings import ModelEntry

T = TypeVar("T")

# An answer that has said why it ends may still say what it used. Not every server closes then.
_AFTERWARDS_S = 2.0


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long a stream is waited for, in seconds.

    Args:
        first: Longest silence before the first content: the model may have to be loaded.
        silence: Longest silence after it.
        begin: Latest first content, through all tries of a call.
        whole: Longest answer, from its first content on; from the call on where `strict`.
    """

    first: float
    silence: float
    begin: float
    whole: float
    strict: bool = False

    @classmethod
    def of_one(cls, seconds: float) -> TimeLimits:
        """The same for all of it."""
        return cls(seconds, seconds, seconds, seconds, strict=True)


class Clocks:
    """The clocks of one call; they run from now on, through all its tries."""

    def __init__(self, limits: TimeLimits) -> None:
        self.limits = limits
        now = asyncio.get_running_loop().time()
        self._begin = now + limits.begin
        self._whole = now + limits.whole if limits.strict else None
        self._begun = False

    def begun(self) -> None:
        """The first content is there."""
        if not self._begun:
            self._begun = True
            self._begin = self._whole or asyncio.get_running_loop().time() + self.limits.whole

    @property
    def end(self) -> float:
        """When the phase that the stream is in is over, as a time of the loop."""
        return self._begin

    @property
    def silence(self) -> float:
        return self.limits.silence if self._begun else self.limits.first

    def late(self, name: str, *, over: bool) -> str:
        """What is said of the model `name`, whose time is `over` or which is silent."""
        if not over:
            key = "silence_timeout_s" if self._begun else "first_token_timeout_s"
            return f"the model '{name}' sent nothing for {self.silence:g} s ({key})"
        if self._begun or self.limits.strict:
            return f"the model '{name}' did not finish within {self.limits.whole:g} s (timeout_s)"
        return f"the model '{name}' did not begin within {self.limits.begin:g} s (first_token_timeout_s)"


class Alarm:
    """Ends waits that take too long: one timer for the many of a stream, set anew when it rings too early."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0.0
        self._until = 0.0
        self._waiting: asyncio.Task[Any] | None = None
        self._rang = False

    async def wait(self, awaited: Awaitable[T], until: float) -> T:
        """What is awaited; its wait ends at the loop's time `until`.

        Raises:
            TimeoutError: It has not come by then.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that runs has one
        cancelling = task.cancelling()
        self._until, self._waiting = until, task
        if self._timer is None or until < self._at:
            self._set(until)
        try:
            return await awaited
        except asyncio.CancelledError:
            # As asyncio's own clocks do: whoever else cancels the task is not kept from it.
            if self._rang and task.uncancel() <= cancelling:
                raise TimeoutError from None
            raise
        finally:
            self._waiting, self._rang = None, False

    def close(self) -> None:
        """Nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, at: float) -> None:
        self.close()
        self._at = at
        self._timer = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._waiting is None:
            return  # the next wait sets it
        if self._loop.time() < self._until:
            self._set(self._until)
        else:
            self._rang = True
            self._waiting.cancel()


def has_content(chunk: Chunk) -> bool:
    """True when the chunk carries something that a reader could have seen."""
    return bool(chunk.content or chunk.tool_call_chunks or chunk.additional_kwargs)


async def watched(stream: AsyncIterator[Chunk], clocks: Clocks, name: str) -> AsyncIterator[Chunk]:
    """The stream of the model `name`, held to its clocks and to saying why it ends.

    Raises:
        ModelTimedOut: It is silent for too long, or takes too long as a whole.
        ModelStreamCut: It ends without a reason, or with one that says it was cut.
    """
    finish, alarm = "", Alarm()
    with closing(alarm):
        async with aclosing(cast(Any, stream)):
            while (chunk := await _next(stream, clocks, alarm, name, ended=bool(finish))) is not None:
                if has_content(chunk):
                    clocks.begun()
                if chunk.response_metadata:
                    finish = finish_of(chunk.response_metadata.get("finish_reason")) or finish
                yield chunk
    if not finish:
        raise ModelStreamCut(f"the answer of the model '{name}' broke off")
    if finish in BROKEN:
        raise ModelStreamCut(f"the endpoint of the model '{name}' broke its answer off ({finish})")


async def _next(
    stream: AsyncIterator[Chunk], clocks: Clocks, alarm: Alarm, name: str, *, ended: bool
) -> Chunk | None:
    """The next chunk; None at the end, also where a server that has said why it ends does not close."""
    loop = asyncio.get_running_loop()
    until = min(loop.time() + (_AFTERWARDS_S if ended else clocks.silence), clocks.end)
    try:
        return await alarm.wait(anext(stream, None), until)
    except TimeoutError:
        if ended:
            return None
        raise ModelTimedOut(clocks.late(name, over=loop.time() >= clocks.end)) from None


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
        self._limits = TimeLimits.of_one(_OFFLINE_SECONDS)
        if model.entry is not None and policy is not None:
            self._limits = time_limits_of(model.entry, policy, first)

    def stream(
        self,
        messages: Sequence[BaseMessage],
        *,
        tools: Sequence[Mapping[str, Any]],
        sampling: Mapping[str, Any],
        user: str,
    ) -> AsyncIterator[Chunk]:
        """The answer as it comes; tried again where it fails before its first content.

        Raises:
            BreakerOpen, TooBusy: The endpoint is not asked now.
            ModelUnavailable, ModelTimedOut, ModelRefused: As its client and `watched` say.
        """
        clocks = Clocks(self._limits)

        def opened() -> AsyncIterator[Chunk]:
            stream = self._client.stream(messages, tools=tools, sampling=sampling, user=user)
            return watched(stream, clocks, self._name)

        if self._policy is None:
            return opened()
        return self._policy.stream(opened, content=has_content, timeout_s=self._limits.begin, late=self._late)

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
        key = "timeout_s" if self._limits.strict else "first_token_timeout_s"
        return ModelTimedOut(f"the model '{self._name}' did not begin within {seconds:g} s ({key})")


def time_limits_of(entry: ModelEntry, policy: Policy, first: float | None) -> TimeLimits:
    """How long a model is waited for.

    A `timeout_s` that somebody has set is the longest answer with all tries. Where
    nobody has, a model that loads for long does not take that time from its answer.
    """
    timeout, strict = policy.settings.timeout_s, "timeout_s" in policy.settings.model_fields_set
    patience = entry.first_token_timeout_s or first or entry.kind.first_byte_s
    return TimeLimits(
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
        self._kept: EntryResources[Model, Connection] = EntryResources(living, self._made, Connection.aclose)

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
