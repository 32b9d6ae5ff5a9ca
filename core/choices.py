"""What a caller chooses for a run: one value, carried whole from the request to the call of the model.

A further choice is a field of `Choices` and a line of `Chosen`. Bodies, the allow-list, forms, options
of commands, schedules and what is stored of a run follow. The command line reads this
module at its start, so it imports nothing slow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypedDict, TypeVar, cast, get_args

from core.errors import InvalidInput
from core.forms import client_tools_in, response_format_in

if TYPE_CHECKING:
    from pydantic import BaseModel

Approval = Literal["ask", "auto", "deny"]
# In a list of names: all that the caller may use, as when it is not given.
# A form cannot leave a list out, and an empty one means none.
EVERY = "*"
LONGEST_NAME = 200
MOST_NAMES = 200
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Verbosity = Literal["low", "medium", "high"]
_SHOWN = 80
_WORDS: Mapping[Any, str] = {
    str: "text",
    list[str]: "a list of names",
    float: "a number",
    int: "a number",
    bool: "true or false",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """What may be chosen under a name.

    Args:
        kind: str, list[str], float, int, bool or a Literal.
        description: For people: in schemas, forms, options and the reference.
        low, high: Bounds of a number; `high` of a text is the most characters, where it is not 0, and of a
            list the most texts: these are any texts then, and `*` among them is none but itself.
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
        if self.kind == list[str] and self.high:
            return f"a list of at most {self.high:g} texts, each of 1 to {LONGEST_NAME} characters"
        words = _WORDS.get(self.kind) or f"one of {', '.join(get_args(self.kind))}"
        return f"{words}, or null" if optional else words

    def fits(self, value: Any, high: float | None = None) -> bool:
        """Whether it may be this."""
        if self.kind is str:
            return isinstance(value, str) and (not self.high or len(value) <= self.high)
        if self.kind == list[str]:
            return _is_list(value) and (not self.high or _are_texts(value, self.high))
        if self.kind is bool:
            return isinstance(value, bool)
        if self.kind in (float, int):
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            return is_number and self.low <= value <= (self.high if high is None else high)  # refuses NaN too
        return value in get_args(self.kind)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)


def _are_texts(value: Sequence[str], most: float) -> bool:
    return len(value) <= most and all(0 < len(text) <= LONGEST_NAME for text in value)


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

    response_format: str | None = field(
        default=None,
        metadata=choice(
            str,
            'The form of the answer, as JSON text: {"type": "json_object"}, or OpenAI\'s json_schema. '
            "An answer of another form is asked for once more, and is an error then.",
            high=65_536,
            later=True,
        ),
    )
    tool_choice: str | None = field(
        default=None,
        metadata=choice(
            str,
            "What the first model call of the turn has to do: required (call a tool), the name of a tool to "
            "call, none (call none in the whole turn), or auto.",
            high=LONGEST_NAME,
            later=True,
        ),
    )
    parallel_tool_calls: bool | None = field(
        default=None, metadata=choice(bool, "false: one tool call at a time.", later=True)
    )
    stop: Sequence[str] | None = field(
        default=None,
        metadata=choice(
            list[str], "Up to 4 texts; an answer ends before the first of them.", high=4, later=True
        ),
    )
    presence_penalty: float | None = field(
        default=None,
        metadata=choice(float, "-2 to 2, for the endpoint.", low=-2, high=2, sampled=True, later=True),
    )
    frequency_penalty: float | None = field(
        default=None,
        metadata=choice(float, "-2 to 2, for the endpoint.", low=-2, high=2, sampled=True, later=True),
    )
    reasoning_effort: Effort | None = field(
        default=None, metadata=choice(Effort, "How long the model reasons.", sampled=True, later=True)
    )
    verbosity: Verbosity | None = field(
        default=None, metadata=choice(Verbosity, "How long answers are.", sampled=True, later=True)
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
        return Choices(**{name: v for name, v in found.items() if CHOICES[name].high or not _is_every(v)})


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
    response_format: str | None
    tool_choice: str | None
    parallel_tool_calls: bool | None
    stop: Sequence[str] | None
    presence_penalty: float | None
    frequency_penalty: float | None
    reasoning_effort: Effort | None
    verbosity: Verbosity | None


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
    for name, read in (("client_tools", client_tools_in), ("response_format", response_format_in)):
        if text := getattr(value, name, None):
            read({name: text})
    return value


_SENT = ("max_tokens", "stop", "parallel_tool_calls")


def sampling_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the model's endpoint is sent of a turn's choices; `max_tokens` under the name that it wants."""
    return {name: config[name] for name in (*SAMPLED, *_SENT) if config.get(name) not in (None, [], ())}


def with_choices(model: M) -> M:
    """A pydantic model with a field for each choice that it does not declare itself; null chooses nothing."""
    from pydantic import Field, create_model  # noqa: PLC0415 - slow, see above

    name = Field(min_length=1, max_length=LONGEST_NAME)
    # What stands in a list, and how long a text or a list may be where nothing is said.
    lengths: dict[Any, tuple[Any, int]] = {
        str: (str, LONGEST_NAME),
        list[str]: (list[Annotated[str, name]], MOST_NAMES),
    }
    base: Any = model
    further: dict[str, Any] = {}
    for known, each in CHOICES.items():
        if known not in base.model_fields:
            high, kind = each.high or None, each.kind
            if kind in lengths:
                kind, most = lengths[kind]
                kind, high = Annotated[kind, Field(max_length=int(high or most))], None
            further[known] = (
                kind | None,
                Field(None, ge=each.low if high else None, le=high, description=each.description),
            )
    made = create_model(
        base.__name__, __base__=base, __module__=base.__module__, __doc__=base.__doc__, **further
    )
    return cast(M, made)
