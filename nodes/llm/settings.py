"""The section `llm` of waystation.yaml, and the file of models."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
    field_serializer,
    field_validator,
    model_validator,
)

from core.choices import SAMPLED, Effort, Verbosity
from core.settings import Strict, nearest
from nodes.llm import vendors
from nodes.llm.profiles import FORMATS, PROFILES, Profile, profile_for

DEFAULT_PROMPT = (
    "You are the assistant of Waystation. Answer the user's question in their language, briefly and exactly. "
    "Use the tools where they help. Where passages are given, rely on them and put the number of the "
    "passage, such as [1], behind each sentence that rests on it. Say so when you do not know."
)
_ENDPOINT = re.compile(r"/(?:chat/completions|messages)/?$")
# What an entry tells the class of its provider, and what only an endpoint of chat completions has.
_ARGUMENTS = ("model_name", "model_url", "api_key", "max_tokens", *SAMPLED)
_ENDPOINT_KEYS = ("client", "extra_headers", "pass_user_as_customer_id")

Client = Literal["lean", "langchain"]
"""How endpoints are talked to; `nodes.llm.provider` makes each."""

_kind = lru_cache(maxsize=256)(profile_for)


@lru_cache(maxsize=256)
def _mark(url: str, model_name: str) -> str:
    return hashlib.sha256(f"{url} {model_name}".encode("utf-8", "replace")).hexdigest()[:12]


def known_profile(name: str) -> str:
    """The name, if there is such a profile or none is named.

    Raises:
        ValueError: There is none; says the nearest, or all.
    """
    if name and name not in PROFILES:
        near = nearest(name, PROFILES)
        hint = f"did you mean '{near}'?" if near else f"known: {', '.join(PROFILES)}"
        raise ValueError(f"there is no profile '{name[:64]}'; {hint}")
    return name


class LLMSettings(Strict):
    """Which model answers, and what it is sent."""

    default_model: str = Field(
        "",
        description="Display name of the default model; empty: openai from the environment, then the first.",
    )
    openai_model: str = Field(
        "",
        description="Model name for OPENAI_API_KEY / OPENAI_BASE_URL; empty: OPENAI_MODEL, then a default.",
    )
    openai_profile: str = Field(
        "",
        description="Profile of the endpoint of OPENAI_BASE_URL; empty: OPENAI_PROFILE, then by its address.",
    )
    system_prompt: str = Field(DEFAULT_PROMPT, description="What stands before every conversation.")
    window_messages: int = Field(
        40, ge=1, le=2000, description="Recent messages sent; tool calls keep their results."
    )
    max_quote: int = Field(
        400, ge=80, le=4000, description="Longest sentence, in characters, that the offline model quotes."
    )
    offline: bool = Field(True, description="Offer the offline model, which needs no network.")
    client: Client = Field(
        "lean",
        description="How endpoints are talked to: by a client of our own, or through langchain-openai.",
    )
    first_token_timeout_s: float | None = Field(
        None,
        gt=0,
        description="Longest silence before the first token, in seconds, where a model's entry says nothing "
        "of it, such as the endpoint of OPENAI_BASE_URL; empty: as the profile says.",
    )

    @field_validator("openai_profile")
    @classmethod
    def _known_profile(cls, value: str) -> str:
        return known_profile(value)


def _either(schema: dict[str, Any]) -> None:
    """For editors: an endpoint, or a provider."""
    schema["anyOf"] = [{"required": schema.pop("required")}, {"required": ["provider"]}]


class ModelEntry(Strict):
    """One model of models.yaml."""

    model_config = ConfigDict(json_schema_extra=_either)
    provider: Annotated[Any, WithJsonSchema({"type": "string"})] = Field(
        "",
        description="In place of an endpoint, a chat model of LangChain as package:Class, such as "
        "langchain_anthropic:ChatAnthropic.",
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Further arguments of the provider's class, as it calls them."
    )
    model_name: str = Field(
        min_length=1, description="The name its endpoint knows; a provider may have one of its own."
    )
    model_url: str = Field(
        description="Base URL; an ending /chat/completions or /messages is dropped. A provider knows its own."
    )
    profile: str = Field(
        "", description="What kind of endpoint it is, such as ollama; empty: as its address looks."
    )
    api_key: SecretStr = SecretStr("")
    description: str | None = None
    model_card: str | None = None
    max_tokens: int | None = Field(10_000, ge=1)
    temperature: float | None = Field(0.7, ge=0, le=2)
    top_p: float | None = Field(
        None, ge=0, le=1, description="Where a turn names none; empty: the endpoint's own."
    )
    seed: int | None = Field(None, description="Where a turn names none; empty: the endpoint is sent none.")
    presence_penalty: float | None = Field(None, ge=-2, le=2, description="Where a turn names none.")
    frequency_penalty: float | None = Field(None, ge=-2, le=2, description="Where a turn names none.")
    reasoning_effort: Effort | None = Field(None, description="Where a turn names none.")
    verbosity: Verbosity | None = Field(None, description="Where a turn names none.")
    extra_headers: dict[str, SecretStr] = Field(default_factory=dict)
    groups: list[str] = Field(default_factory=list)
    compliance_level: str | None = None
    api_key_source: Literal["system", "user"] = "system"
    supports_tools: bool = True
    supports_vision: bool = False
    supports_pdf: bool = False
    supports_response_format: bool | None = Field(
        None,
        description="Whether it is sent response_format; left out, as the profile says. Where it is not, the "
        "model is told in words which form its answer has to have. It is judged in any case.",
    )
    strict_role_ordering: bool = False
    pass_user_as_customer_id: bool = False
    fallbacks: list[str] = Field(
        default_factory=list, description="Models tried when this one is unavailable."
    )
    timeout_s: float = Field(
        120, gt=0, description="Longest answer, in seconds; left out, as resilience.model says."
    )
    first_token_timeout_s: float | None = Field(
        None,
        gt=0,
        description="Longest silence before the first token, in seconds; left out, as the profile says.",
    )
    silence_timeout_s: float = Field(30, gt=0, description="Longest silence after it, in seconds.")
    client: Client | None = Field(
        None, description="How its endpoint is talked to; left out, as llm.client says."
    )
    think_tags: bool | None = Field(
        None,
        description="Whether reasoning may stand in the text, as <think>…</think> at its very start; left "
        "out, as the profile says.",
    )
    retries: int = Field(
        2,
        ge=0,
        le=10,
        description="Further tries before the first token; left out, as resilience.model says.",
    )
    input_price: float | None = Field(None, ge=0, description="Per million tokens.")
    output_price: float | None = Field(None, ge=0, description="Per million tokens.")

    @property
    def kind(self) -> Profile:
        """What its endpoint wants and does."""
        return _kind(self.profile, self.model_url)

    @property
    def of(self) -> str:
        """Which endpoint and model it is, as a mark that tells nothing else."""
        path = vendors.path_of(self.provider) if self.provider else ""
        return _mark(path + self.model_url, self.model_name)

    @property
    def formats(self) -> tuple[str, ...]:
        """Types of `response_format` that it is sent."""
        if self.supports_response_format is None:
            return () if self.provider else self.kind.formats
        return (self.kind.formats or FORMATS) if self.supports_response_format else ()

    def arguments(self) -> dict[str, Any]:
        """What the class of its provider is made with.

        Raises:
            ValueError: The class takes no such thing.
        """
        said = {key: getattr(self, key) for key in _ARGUMENTS if key in self.model_fields_set}
        said = {key: v.get_secret_value() if isinstance(v, SecretStr) else v for key, v in said.items()}
        if self.model_name == vendors.served_by(self.provider, self.parameters):
            del said["model_name"]
        told = {key: value for key, value in said.items() if value not in (None, "")}
        return vendors.arguments(self.provider, told, self.parameters)

    @model_validator(mode="before")
    @classmethod
    def _of_provider(cls, data: Any) -> Any:
        """A provider knows its address, and may know its model."""
        provider = data.get("provider") if isinstance(data, dict) else None
        if not provider:
            return data
        served = vendors.served_by(provider, data.get("parameters"))
        return {"model_name": served, "model_url": "", **data}

    @model_validator(mode="after")
    def _fits_provider(self) -> ModelEntry:
        if not self.provider:
            unused = ["parameters"] if self.parameters else []
        else:
            unused = [key for key in _ENDPOINT_KEYS if key in self.model_fields_set]
        if unused:
            beside = "beside provider; write it under parameters" if self.provider else "without provider"
            raise ValueError(f"{', '.join(unused)} says nothing {beside}")
        if isinstance(self.provider, str) and self.provider:
            self.arguments()
        return self

    @field_validator("provider")
    @classmethod
    def _chat_model(cls, value: Any) -> Any:
        return vendors.checked("" if value is None else value)

    @field_serializer("provider")
    def _path(self, value: Any) -> str:
        return vendors.path_of(value)

    @field_validator("model_url")
    @classmethod
    def _base_url(cls, value: str, info: ValidationInfo) -> str:
        # A provider that is refused is a finding of its own, and no reason to ask for an address.
        if not value and info.data.get("provider") != "":
            return value
        if not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        if not urlsplit(value).hostname:  # raises ValueError too, for brackets without an address
            raise ValueError("names no host")
        path, mark, query = value.strip().partition("?")
        return _ENDPOINT.sub("", path).rstrip("/") + mark + query

    @field_validator("profile")
    @classmethod
    def _known_profile(cls, value: str) -> str:
        return known_profile(value)

    @field_validator("extra_headers", mode="before")
    @classmethod
    def _no_headers(cls, value: Any) -> Any:
        return {} if value is None else value


class ModelsFile(Strict):
    """models.yaml, also read under the name llmconfig.yml."""

    models: dict[str, ModelEntry] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names(self) -> ModelsFile:
        for name, entry in self.models.items():
            _check_fallbacks(name, entry, self.models)
        return self


def _check_fallbacks(name: str, entry: ModelEntry, models: Mapping[str, ModelEntry]) -> None:
    if name == "offline":
        raise ValueError("the name 'offline' belongs to the built-in model; choose another")
    for other in entry.fallbacks:
        if other not in {*models, "openai", "offline"}:
            raise ValueError(
                f"'{name}' falls back to '{other}', which is no model; known: {', '.join(models)}"
            )
