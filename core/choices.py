"""What a caller chooses for a run: one value, carried whole from the request to the call of the model.

A further choice is a field of `Choices` and a line of `Chosen`. Bodies, the allow-list, forms, options
of commands, schedules and what is stored of a run follow. The command line reads this
module at its start, so it imports nothing slow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypedDict, TypeVar, cast, get_args

from core.errors import InvalidInput

if TYPE_CHECKING:
    from pydantic import BaseModel

Approval = Literal["ask", "auto", "deny"]
# In a list of names: all that the caller may use, as when it is not given.
# A form cannot leave a list out, and an empty one means none.
EVERY = "*"
LONGEST_NAME = 200
MOST_NAMES = 200
MOST_CLIENT_TOOLS = 128
_FUNCTION_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SHOWN = 80
_WORDS: Mapping[Any, str] = {str: "text", list[str]: "a list of names", float: "a number", int: "a number"}


@dataclass(frozen=True, slots=True)
class Choice:
    """What may be chosen under a name.

    Args:
        kind: str, list[str], float, int or a Literal.
        description: For people: in schemas, forms, options and the reference.
        low, high: Bounds of a number; `high` of a text is the most characters, where it is not 0.
        sampled: The model's endpoint is sent it, under this name.
        later: Came after the first release: it is written only where it is chosen, so that
            a request has the digest that it had, and an older recording is what it was.
    """

    kind: Any
    description: str
    low: float = 0
    high: float = 0
    sampled: bool = False
    later: bool = False

    def wanted(self, value: Any, high: float | None = None, *, optional: bool = False) -> str:
        """What it must be instead of this, in words."""
        if self.kind in (float, int) and isinstance(value, (int, float)):
            return f"{self.low:g} to {self.high if high is None else high:g}"
        if self.kind is str and self.high and isinstance(value, str):
            return f"text of at most {self.high:g} characters"
        words = _WORDS.get(self.kind) or f"one of {', '.join(get_args(self.kind))}"
        return f"{words}, or null" if optional else words

    def fits(self, value: Any, high: float | None = None) -> bool:
        """Whether it may be this."""
        if self.kind is str:
            return isinstance(value, str) and (not self.high or len(value) <= self.high)
        if self.kind == list[str]:
            return isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)
        if self.kind in (float, int):
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            return is_number and self.low <= value <= (self.high if high is None else high)  # refuses NaN too
        return value in get_args(self.kind)


def choice(kind: Any, description: str, **more: Any) -> dict[str, Choice]:
    """The metadata of a dataclass' field that says what may be chosen; see `Choice`."""
    return {"choice": Choice(kind, description, **more)}


def described(schema: dict[str, Any], cls: Any) -> None:
    """Put the descriptions into a JSON schema, which forms show."""
    for each in fields(cls):
        if known := each.metadata.get("choice"):
            schema["properties"][each.name]["description"] = known.description


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a caller chose. None leaves it to the service; an empty list means none at all."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid", "json_schema_extra": described}

    model: str = field(default="", metadata=choice(str, "Name of a model (GET /models)."))
    sources: Sequence[str] | None = field(
        default=None,
        metadata=choice(list[str], "Sources to search (GET /sources); * for all that you may use."),
    )
    tools: Sequence[str] | None = field(
        default=None,
        metadata=choice(list[str], "Servers or tools (GET /servers, /tools); * for all that you may use."),
    )
    temperature: float | None = field(default=None, metadata=choice(float, "0 to 2.", high=2, sampled=True))
    max_steps: int | None = field(
        default=None, metadata=choice(int, "Model calls in this turn.", low=1, high=200)
    )
    approval: Approval = field(
        default="ask",
        metadata=choice(Approval, "For tools that need a person's word: ask, auto or deny."),
    )
    top_p: float | None = field(
        default=None,
        metadata=choice(float, "Share of the likeliest words, 0 to 1.", high=1, sampled=True, later=True),
    )
    max_tokens: int | None = field(
        default=None,
        metadata=choice(
            int,
            "Longest answer of a model call, in tokens; a lower limit of the model's entry stays.",
            low=1,
            high=10_000_000,
            later=True,
        ),
    )
    instructions: str | None = field(
        default=None,
        metadata=choice(
            str, "What the model is told behind the service's own instructions.", high=16_000, later=True
        ),
    )

    client_tools: str | None = field(
        default=None,
        metadata=choice(
            str,
            "Tools that the caller runs itself: a JSON list of functions as OpenAI writes them. "
            "The turn pauses at a call of one, and is answered with its result.",
            high=65_536,
            later=True,
        ),
    )
    seed: int | None = field(
        default=None,
        metadata=choice(
            int,
            "Sent to the endpoint, which may then answer alike again.",
            low=-(2**63),
            high=2**63 - 1,
            sampled=True,
            later=True,
        ),
    )

    def __post_init__(self) -> None:
        for name in CHOICES:
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))

    def by_name(self) -> dict[str, Any]:
        """Each choice, and nothing that stands beside them."""
        return {name: getattr(self, name) for name in CHOICES}

    def as_json(self) -> dict[str, Any]:
        """As it is stored and told."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self.by_name().items()
            if value is not None or not CHOICES[name].later
        }

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Choices:
        """The choices among what is given: a stored request, keywords, a form. Blanks choose nothing."""
        found = {name: given[name] for name in CHOICES if given.get(name) not in (None, "")}
        return Choices(**{name: value for name, value in found.items() if not _is_every(value)})


class Chosen(TypedDict, total=False):
    """The same as keywords of a function."""

    model: str
    sources: Sequence[str] | None
    tools: Sequence[str] | None
    temperature: float | None
    max_steps: int | None
    approval: Approval
    top_p: float | None
    max_tokens: int | None
    instructions: str | None
    client_tools: str | None
    seed: int | None


CHOICES: Mapping[str, Choice] = {each.name: each.metadata["choice"] for each in fields(Choices)}
DEFAULT = Choices()
SAMPLED = tuple(name for name, each in CHOICES.items() if each.sampled)
C = TypeVar("C")
M = TypeVar("M", bound="type[BaseModel]")


def _is_every(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and EVERY in value


def checked(value: C, **most: float) -> C:
    """The choices, or a dataclass that has such fields, when each is of its kind and within its bounds.

    A notebook or a form may have put anything there.

    Args:
        most: Bounds of now, by name, where they are narrower.

    Raises:
        InvalidInput: One is not.
    """
    for each in fields(value):  # type: ignore[arg-type]  # a dataclass; Python has no bound that says so
        known, found, high = each.metadata.get("choice"), getattr(value, each.name), most.get(each.name)
        optional = each.default is None
        if known is None or (found is None and optional):
            continue
        if not known.fits(found, high):
            given = found if isinstance(found, (int, float)) else repr(str(found)[:_SHOWN])
            wanted = known.wanted(found, high, optional=optional)
            raise InvalidInput(f"{each.name} must be {wanted}, not {given}")
    client_tools_in({"client_tools": getattr(value, "client_tools", None)})
    return value


def client_tools_in(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The functions that the caller runs itself, as models are offered them.

    Raises:
        InvalidInput: They are no list of functions.
    """
    if not (text := config.get("client_tools")):
        return []
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInput("client_tools must be JSON, a list of functions") from None
    if not isinstance(found, list) or len(found) > MOST_CLIENT_TOOLS:
        raise InvalidInput(f"client_tools must be a list of at most {MOST_CLIENT_TOOLS} functions")
    tools = [_client_tool(each, f"client_tools.{place}") for place, each in enumerate(found)]
    names = [tool["function"]["name"] for tool in tools]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidInput(f"client_tools: two functions are called '{twice}'")
    return tools


def _client_tool(given: Any, where: str) -> dict[str, Any]:
    function = given.get("function") if isinstance(given, Mapping) else None
    if not isinstance(function, Mapping) or given.get("type", "function") != "function":
        raise InvalidInput(f'{where} must be {{"type": "function", "function": {{"name": ...}}}}')
    name, about, schema = (function.get(key) for key in ("name", "description", "parameters"))
    if not isinstance(name, str) or not _FUNCTION_NAME.fullmatch(name):
        raise InvalidInput(f"{where}: its name must be 1 to 64 of A-Z, a-z, 0-9, _ and -")
    if not isinstance(about, str | None) or not isinstance(schema, Mapping | None):
        raise InvalidInput(f"{where}: description is a text, and parameters a JSON schema")
    shown = {"name": name, "description": about or "", "parameters": schema or _NO_PARAMETERS}
    return {"type": "function", "function": shown}


_NO_PARAMETERS: Mapping[str, Any] = {"type": "object", "properties": {}}


def sampling_of(config: Mapping[str, Any]) -> dict[str, float]:
    """What the model's endpoint is sent of a turn's choices; `max_tokens` under the name that it wants."""
    return {name: config[name] for name in (*SAMPLED, "max_tokens") if config.get(name) is not None}


def with_choices(model: M) -> M:
    """A pydantic model with a field for each choice that it does not declare itself; null chooses nothing."""
    from pydantic import Field, create_model  # noqa: PLC0415 - slow, see above

    name = Field(min_length=1, max_length=LONGEST_NAME)
    kinds: dict[Any, Any] = {
        str: Annotated[str, Field(max_length=LONGEST_NAME)],
        list[str]: Annotated[list[Annotated[str, name]], Field(max_length=MOST_NAMES)],
    }
    base: Any = model
    further: dict[str, Any] = {}
    for known, each in CHOICES.items():
        if known not in base.model_fields:
            if each.kind is str and each.high:
                kind, low, high = Annotated[str, Field(max_length=int(each.high))] | None, None, None
            else:
                low, high = (each.low, each.high) if each.high else (None, None)
                kind = kinds.get(each.kind, each.kind) | None
            further[known] = (kind, Field(None, ge=low, le=high, description=each.description))
    made = create_model(
        base.__name__, __base__=base, __module__=base.__module__, __doc__=base.__doc__, **further
    )
    return cast(M, made)
