"""Values of the module: what is asked of a model and what comes back; and which models there are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pydantic import SecretStr

from core.access import Principal, usable
from core.errors import ConfigInvalid
from core.settings import Book, ConfigErrors, ConfigFile, ConfigProblem, Section, nearest
from nodes.llm.answer_rules import AnswerRules
from nodes.llm.errors import ModelNotFound
from nodes.llm.settings import LLMSettings, ModelEntry, ModelsFile, known_profile
from nodes.llm.vendors import label_of

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, BaseMessage, ToolCall

OFFLINE = "offline"
HOW_TO_CONFIGURE = (
    "For a real model set OPENAI_API_KEY (and OPENAI_BASE_URL for another endpoint), "
    "or list models in config/models.yaml, and restart."
)
MALFORMED = "__malformed__"
"""The one argument of a tool call whose arguments were no JSON object; its value is what the model wrote."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the catalogue; `entry` is None for the offline model."""

    name: str
    entry: ModelEntry | None = None
    description: str = ""
    enabled: bool = True
    groups: list[str] = field(default_factory=list)

    @property
    def compliance_level(self) -> str:
        return (self.entry.compliance_level if self.entry else None) or ""

    @property
    def served(self) -> str:
        """What its endpoint calls it."""
        return self.entry.model_name if self.entry else OFFLINE

    @property
    def vendor(self) -> str:
        """Whose wire it speaks, for metrics and spans."""
        if self.entry is None:
            return OFFLINE
        return label_of(self.entry.provider) if self.entry.provider else "openai"

    @property
    def supports_tools(self) -> bool:
        return self.entry is None or self.entry.supports_tools

    @property
    def supports_vision(self) -> bool:
        return self.entry is not None and self.entry.supports_vision

    @property
    def supports_pdf(self) -> bool:
        return self.entry is not None and self.entry.supports_pdf


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of the thread, as far as a model may be given it.

    Args:
        text: What of its text is shown; "" for none.
        extent: Which part of the text that is; "" for all of it.
        notes: What could not be read of it.
        reason: Why its text is not there.
        data: The content in base64, of an image or a PDF that a model may see as such.
        message: Id of the message that it came with, where that is known.
        new: It comes with this turn.
    """

    name: str
    media_type: str = ""
    size: int = 0
    text: str = ""
    extent: str = ""
    notes: tuple[str, ...] = ()
    reason: str = ""
    data: str = ""
    message: str = ""
    new: bool = False

    def as_new(self) -> Attachment:
        return replace(self, new=True)

    def shortened(self, chars: int) -> Attachment:
        """With at most so much of its text, for a model that takes no more; with none, not as such either."""
        if not chars:
            return replace(self, text="", data="", reason="there is no room for it in this conversation")
        if len(self.text) <= chars:
            return self
        return replace(self, text=f"{self.text[:chars]}\n[…]", extent=self.extent or "its beginning")


def new_answer_id() -> str:
    """A fresh id for a message of the assistant."""
    return f"ai-{uuid4().hex}"


@dataclass(frozen=True, slots=True)
class LLMRequest:
    """One call of a model.

    Args:
        model: Name in the catalogue; empty for the default.
        messages: The conversation, oldest first, without a system message.
        tools: OpenAI function schemas that the model may call.
        documents: Retrieved passages, each with n, title, text and more.
        files: Files of the thread, each with name, media_type and size.
        attachments: What of them a model may be given; it gets what it can see.
        sampling: What the endpoint is sent by name, such as `temperature`; else the model's own.
        principal: Who asks; None for this process itself, which may use every model.
        earlier: Notes on what was said before `messages`.
        notes: Whether those go on where more has to be left out.
        instructions: The caller's own, behind those of the service.
        wanted: What the answer has to be; None for any.
        taken: Ids of tool calls that stand elsewhere in the thread.
        message_id: The id of the message that the answer becomes.
    """

    model: str = ""
    messages: Sequence[BaseMessage] = ()
    tools: Sequence[Mapping[str, Any]] = ()
    documents: Sequence[Mapping[str, Any]] = ()
    files: Sequence[Mapping[str, Any]] = ()
    attachments: Sequence[Attachment] = ()
    sampling: Mapping[str, Any] = field(default_factory=dict)
    principal: Principal | None = None
    earlier: str = ""
    instructions: str = ""
    notes: bool = False
    wanted: AnswerRules | None = None
    taken: Collection[str] = ()
    message_id: str = field(default_factory=new_answer_id, compare=False)


@dataclass(frozen=True, slots=True)
class LLMChunk:
    """A piece of the answer as it comes."""

    text: str = ""
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call used; `model` is its name in the catalogue, `cost` None where no price is known."""

    input_tokens: int
    output_tokens: int
    model: str
    cost: float | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "model": self.model,
            "cost": self.cost,
        }


@dataclass(frozen=True, slots=True)
class LLMResponse:
    """The whole answer.

    Args:
        finish: The endpoint's reason to stop: stop, tool_calls, length, ...
        remarks: (code, text) of what a person should know about how the request was made.
    """

    message: AIMessage
    usage: Usage
    finish: str = "stop"
    remarks: Sequence[tuple[str, str]] = ()

    @property
    def text(self) -> str:
        return str(self.message.text)

    @property
    def tool_calls(self) -> list[ToolCall]:
        return list(self.message.tool_calls)


OPENAI = "openai"
OPENAI_URL = "https://api.openai.com/v1"
OPENAI_DEFAULT_MODEL = "gpt-4.1-mini"
ASK_ENDPOINT = "(first of the endpoint)"
"""Stands for the first model that GET /models names; asked at first use."""

_OFFLINE_TEXT = "Needs no network: calls tools and quotes passages, and never writes text of its own."


class Catalogue:
    """Models by display name.

    Raises:
        ConfigInvalid: `llm.default_model` names no model, or there is none at all.
    """

    def __init__(self, models: Mapping[str, Model], *, default: str = "") -> None:
        self._models = dict(models)
        self._default = self._chosen(default)

    @classmethod
    def of(cls, book: Book) -> Catalogue:
        """The models of the configuration and of the environment.

        Raises:
            ConfigErrors: `llm.default_model` names none of them; with the place where it stands.
        """
        settings, configured = book[LLMSettings], book[ModelsFile].models
        models = {name: _model(name, entry) for name, entry in configured.items()}
        from_environ = environment_entry(settings, book.context.environ)
        if from_environ is not None and OPENAI not in models:
            models = {OPENAI: _model(OPENAI, from_environ), **models}
        if settings.offline:
            models[OFFLINE] = Model(OFFLINE, None, _OFFLINE_TEXT)
        try:
            return cls(models, default=settings.default_model or (OPENAI if from_environ is not None else ""))
        except ConfigInvalid as error:
            raise _placed(error, book) from error

    def entries(self) -> Mapping[str, Model]:
        return self._models

    def default(self) -> str:
        return self._default

    def names(self) -> Iterable[str]:
        return self._models

    def find(self, name: str) -> Model:
        """The model called `name`; the default for an empty name.

        Raises:
            ModelNotFound: There is none.
        """
        found = self._models.get(name or self._default)
        if found is None:
            raise ModelNotFound(f"no model '{name}'; known: {', '.join(self._models)}")
        return found

    def get(self, name: str) -> Model | None:
        """The model called `name`, or None."""
        return self._models.get(name)

    def seen_by(self, principal: Principal | None) -> Catalogue:
        """The part of it that the principal may use; all of it for this process itself."""
        if principal is None:
            return self
        seen = copy(self)
        seen._models = usable(principal, self._models)
        return seen

    def _chosen(self, default: str) -> str:
        if not self._models:
            raise ConfigInvalid(
                "there is no model: set OPENAI_API_KEY, fill models.yaml, or set llm.offline: true"
            )
        if not default:
            return next(iter(self._models))
        if default not in self._models:
            near = nearest(default, self._models)
            hint = f"did you mean '{near}'?" if near else f"known: {', '.join(self._models)}"
            raise ConfigInvalid(f"llm.default_model: there is no model '{default}'; {hint}")
        return default


def environment_entry(settings: LLMSettings, environ: Mapping[str, str]) -> ModelEntry | None:
    """The model that OPENAI_API_KEY and OPENAI_BASE_URL describe, if either is set."""
    key, url = environ.get("OPENAI_API_KEY", ""), environ.get("OPENAI_BASE_URL", "")
    if not key and not url:
        return None
    named = settings.openai_model or environ.get("OPENAI_MODEL", "")
    profile = settings.openai_profile or environ.get("OPENAI_PROFILE", "")
    try:
        known_profile(profile)
    except ValueError as error:
        raise ConfigInvalid(f"OPENAI_PROFILE: {error}") from error
    try:
        return ModelEntry(
            model_name=named or (ASK_ENDPOINT if url else OPENAI_DEFAULT_MODEL),
            model_url=url or OPENAI_URL,
            profile=profile,
            api_key=SecretStr(key),
            description="The endpoint of OPENAI_BASE_URL" if url else "OpenAI, by OPENAI_API_KEY",
            max_tokens=None,
            temperature=None,
        )
    except ValueError as error:
        raise ConfigInvalid("OPENAI_BASE_URL must begin with http:// or https://") from error


def _placed(error: ConfigInvalid, book: Book) -> ConfigErrors:
    """The error with the file and line of the key that it begins with."""
    key, _, message = error.detail.partition(": ")
    if not key.startswith("llm."):
        return ConfigErrors([ConfigProblem("models.yaml", error.detail)])
    file, line = book.layers.place(key.split("."))
    return ConfigErrors([ConfigProblem(file, message, key, line)])


def _model(name: str, entry: ModelEntry) -> Model:
    return Model(name, entry, entry.description or "", True, list(entry.groups))


SECTIONS = (Section("llm", LLMSettings, live=("default_model", "offline", "openai_model", "openai_profile")),)
FILES = (ConfigFile("models", ("models.yaml", "llmconfig.yml"), ModelsFile, listing=Catalogue.of, live=True),)
