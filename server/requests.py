"""What a client may say of a turn: LangServe's body, held to an allow-list and turned into a TurnRequest.

LangServe itself drops what it does not know. A key that would change nothing
is worse than an error, so the body is checked whole before LangServe reads it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from langserve import CustomUserType
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from core.access import Principal
from core.choices import CHOICES, Choices, with_choices
from core.errors import InvalidInput
from core.foreign import as_json, is_answer
from core.forms import client_tools_in
from core.settings import nearest
from graph.runs.record import OnBusy, OnDisconnect, TurnRequest
from server.errors import InvalidRequest, UnsupportedParameter

_KEY = re.compile(r"[!-~]{1,128}")
ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"

# What LangChain's clients send of their own in `config`: read by them, without meaning here.
_CLIENT_KEYS = frozenset(
    [
        "tags",
        "metadata",
        "callbacks",
        "recursion_limit",
        "max_concurrency",
        "run_name",
        "run_id",
        "recursionLimit",
        "maxConcurrency",
        "runName",
        "runId",
        "timeout",
        "signal",
    ]
)


def json_answer(value: Any) -> Any:
    """A person's answer as JSON, an object or a shorter form; it is read where the questions are."""
    if value is not None and not isinstance(value, dict | list | bool):
        raise ValueError('must be an object such as {"approve": true}')
    return value


class AgentInput(CustomUserType, extra="forbid"):
    """A turn: exactly one of `message` and `resume`."""

    message: str = Field("", description="What the user says.")
    files: list[str] = Field(default=[], max_length=100, description="Keys of uploaded files.")
    # In schemas an object, which is what forms can show: the playground goes blank on a union.
    resume: Annotated[Any, AfterValidator(json_answer), WithJsonSchema({"type": "object"})] = Field(
        default={},
        description='Answers to interrupts: {"approve": true} for all, {"decisions": […]} with one for each, '
        "or one answer per interrupt id.",
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> AgentInput:
        answers = is_answer(self.resume)
        if bool(self.message.strip()) == answers:
            what = "both are given" if answers else "both are empty"
            raise ValueError(f"give exactly one of message and resume; {what}")
        if answers and self.files:
            raise ValueError("files go with a message, not with resume")
        return self


@with_choices
class Configurable(BaseModel, extra="forbid", strict=True):
    """The allow-list of `config.configurable`, with types that nothing is coerced into."""

    thread_id: Annotated[str, Field(pattern=ID_PATTERN)] | None = None
    on_disconnect: OnDisconnect | None = None
    on_busy: OnBusy | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, data: Any) -> Any:
        """Forms send "" for a field that was left alone."""
        return {k: v for k, v in data.items() if v != ""} if isinstance(data, Mapping) else data


ALLOWED = ("thread_id", *CHOICES, "on_disconnect", "on_busy")


def turn_request(
    who: Principal,
    given: AgentInput,
    options: Mapping[str, Any],
    *,
    key: str | None = None,
    webhook: str | None = None,
    background: bool = False,
) -> TurnRequest:
    """The request of a checked input and configurable."""
    return TurnRequest(
        principal=who,
        message=given.message,
        files=tuple(given.files),
        resume=given.resume if is_answer(given.resume) else None,
        thread_id=options.get("thread_id") or None,
        choices=Choices.of(options),
        on_disconnect=options.get("on_disconnect") or "cancel",
        on_busy=options.get("on_busy") or "reject",
        idempotency_key=key,
        webhook=webhook,
        background=background,
    )


CheckedInput = tuple[Any, Configurable]
"""The input and the configurable of one turn, both checked."""


def idempotency_key(given: str | None) -> str | None:
    """The key of a request's header.

    Raises:
        InvalidRequest: It is not 1 to 128 visible ASCII characters.
    """
    if given is not None and not _KEY.fullmatch(given):
        raise InvalidRequest("Idempotency-Key: use 1 to 128 visible ASCII characters without spaces")
    return given


def last_event_id(given: str | None, *, default: int = 0) -> int:
    """The number of the last event that a reader has, from its header.

    Raises:
        InvalidRequest: It is no number of an event.
    """
    if not given:
        return default
    if not given.isascii() or not given.isdecimal() or len(given) > 15:
        raise InvalidRequest(f"Last-Event-ID: '{given[:40]}' is no number of an event; send the last `id:`")
    return int(given)


async def json_body(request: Request, example: str = '{"input": {…}}') -> dict[str, Any]:
    """The request's JSON object (the guard has made sure that it is JSON).

    Args:
        example: What one looks like, for who sent another.

    Raises:
        InvalidRequest: It is empty, or not an object.
    """
    body: Any = await request.json() if await request.body() else None
    if not isinstance(body, dict):
        raise InvalidRequest(f"the body must be a JSON object such as {example}")
    return body


def checked_inputs(model: type[BaseModel]) -> Callable[[Request], Awaitable[list[CheckedInput]]]:
    """A FastAPI dependency: the turns of a body of LangServe's shape, one but in a batch.

    It refuses a body whose inputs are not `model` or whose config is not allowed.
    LangServe reads the same object after us: what is null in it is taken out, as if it had not been given.
    """

    async def checked(request: Request) -> list[CheckedInput]:
        if request.method != "POST":
            return []
        body = await json_body(request)
        _drop_nulls(body)
        _misplaced(body, "the top level")
        batch = request.url.path.endswith("/batch")
        inputs = _inputs(body) if batch else [body.get("input")]
        configs = body.get("config")
        several = configs if batch and isinstance(configs, list) else [configs]
        chosen = [check_config(config) for config in several]
        if None in inputs:
            raise InvalidRequest("input: is missing")
        found = [validated(model, value, "input") for value in inputs]
        return list(zip(found, chosen * (len(found) if len(chosen) == 1 else 1), strict=False))

    return checked


def _drop_nulls(body: dict[str, Any]) -> None:
    for key in [key for key, value in body.items() if value is None]:
        del body[key]
    configs = body.get("config")
    if isinstance(configs, list):
        body["config"] = [{} if config is None else config for config in configs]
    for config in configs if isinstance(configs, list) else [configs]:
        if isinstance(config, dict) and config.get("configurable", ()) is None:
            del config["configurable"]


def _inputs(body: Mapping[str, Any]) -> list[Any]:
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not 1 <= len(inputs) <= 100:
        raise InvalidRequest("inputs: must be a list of 1 to 100 inputs")
    return inputs


def check_config(config: Any) -> Configurable:
    """The validated configurable of LangServe's `config`.

    Raises:
        RequestValidationError, InvalidRequest: Something in it is not allowed.
    """
    if config is None:
        return Configurable()
    if not isinstance(config, Mapping):
        raise InvalidRequest("config: must be an object")
    _misplaced(config, "config")
    unknown = sorted(str(key)[:80] for key in config if key not in _CLIENT_KEYS and key != "configurable")
    if unknown:
        raise InvalidRequest(f"config.{unknown[0]}: unknown key; known: configurable")
    return check_configurable(config.get("configurable") or {}, "config")


def check_configurable(given: Any, *where: str) -> Configurable:
    """The validated `configurable`, which stands below `where`.

    Raises:
        RequestValidationError, InvalidRequest: Something in it is not allowed.
    """
    return check_options(given, *where, "configurable")


def check_options(given: Any, *where: str) -> Configurable:
    """The validated options that stand at `where`.

    Raises:
        RequestValidationError, InvalidRequest: Something in them is not allowed.
    """
    _known_only(given, ".".join(where))
    found: Configurable = validated(Configurable, given, *where)
    return found


def _misplaced(found: Mapping[str, Any], where: str) -> None:
    wrong = [
        key
        for key in (*ALLOWED, "configurable")
        if key in found and (where, key) != ("config", "configurable")
    ]
    if wrong:
        place = "config" if wrong[0] == "configurable" else "config.configurable"
        raise InvalidRequest(f"{wrong[0]}: stands at {where}; it belongs into {place}")


def _known_only(configurable: Any, place: str) -> None:
    unknown = (
        [str(key)[:80] for key in configurable if key not in ALLOWED]
        if isinstance(configurable, Mapping)
        else []
    )
    if unknown:
        near = nearest(unknown[0], ALLOWED)
        hint = f"did you mean '{near}'?" if near else f"allowed: {', '.join(ALLOWED)}"
        raise InvalidRequest(f"{place}.{unknown[0]}: not allowed; {hint}")


def tools_offered(given: Sequence[Mapping[str, Any]]) -> str:
    """The choice `client_tools` of what a client of another protocol offers as `tools`.

    Raises:
        UnsupportedParameter: They cannot be offered.
    """
    text = as_json(given)
    if len(text) > CHOICES["client_tools"].high:
        raise UnsupportedParameter("tools", f"are {len(text)} letters of JSON; offer fewer, or shorter ones")
    try:
        client_tools_in({"client_tools": text})
    except InvalidInput as error:
        raise UnsupportedParameter("tools", error.detail.replace("client_tools", "tools")) from None
    return text


def validated(model: type[BaseModel], value: Any, *where: str) -> Any:
    """`value` as the model.

    Raises:
        RequestValidationError: With the place of each finding, below `where`.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise RequestValidationError(
            [{**item, "loc": (*where, *item["loc"])} for item in error.errors()]
        ) from error
