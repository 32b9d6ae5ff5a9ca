"""The endpoints that we know, as a table. Where each line was read stands in decision 0024."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

NINE = re.compile(r"[A-Za-z0-9]{9}")
"""The form of a tool-call id that every endpoint known to us takes."""

REASONING_FIELDS = ("reasoning_content", "reasoning", "reasoning_details", "thinking_blocks")
"""Fields of an answer that endpoints may want back, under the names that are in use."""

SCHEMA_MENDS = {
    "top_object": "a schema whose top is no object becomes one",
    "top_combinator": "anyOf, oneOf, allOf, not and enum at the top are folded into `properties`",
    "array_items": "an array without `items` gets `items: {}`",
    "typed_items": "`items` without a type get one",
    "no_meta": "$schema, $id, $comment, title, examples and default are left out",
    "no_refs": "$ref is replaced by what it names",
    "no_unions": "a list of types becomes its first type that is not null; oneOf and allOf become anyOf",
    "no_additional": "additionalProperties, patternProperties and propertyNames are left out",
    "no_bounds": "exclusiveMinimum, exclusiveMaximum, multipleOf and const are left out or become an enum",
    "string_enums": "values of an enum become text",
    "no_formats": "formats of text are left out, except date-time",
}
"""The mends of tool schemas that a profile may name, and what each does."""

_KNOWN_MENDS = frozenset({"top_object", "top_combinator", "array_items"})


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of endpoint. The values that stand here are those of an endpoint that nobody knows.

    Args:
        name: What `profile:` in models.yaml says.
        title: What people call it.
        hosts: Endings of host names that it is guessed from.
        ports: Ports that it is guessed from, where no host name says more.
        paths: Pieces of a path that it is guessed from.
        call_ids: Form of the tool-call ids that it takes: any, or `nine` letters and digits.
        call_id_limit: Longest id that it takes; None for no limit known.
        answer_fields: Fields of its answer that it may want back unchanged.
        answer_fields_back: With which answers those go back: `never`, those `with_calls`, or `always`.
        padded_field: A field that every answer must carry; "" stands in it where nothing came.
        call_fields: Fields of a tool call that go back unchanged, always.
        strict_roles: User and assistant must take turns, and no user follows a tool.
        bare_calls: `content` of an answer that has tool calls and no text: null, "" or left out.
        system_role: The role of our instructions.
        max_tokens_key: How it calls the limit of an answer.
        stream_usage: Whether usage in a stream must be asked for by `stream_options` (`ask`), or comes
            unasked and `stream_options` is not sent (`always`).
        max_tools: Most tools that it takes; None for no limit known.
        tool_name: What a tool's name must match as a whole.
        schema_mends: What must be mended in a tool's schema before it is sent: names of SCHEMA_MENDS.
        ends_by: What its streams end with: `done` where it always says `[DONE]`, `finish` where a finish
            reason may be the last of it. Either is taken from any endpoint; an end without both is a cut.
        first_byte_s: Patience for the first sign of life, in seconds: a model may have to be loaded.
        think_tags: Reasoning may stand in the text, between <think> and </think>.
        formats: Types of `response_format` that it takes in a stream; of the others, and where the model's
            entry says no, the model is told in words.
        formats_with_tools: It takes them beside tools; of others, such a request gets no call, or is refused.
        omit: Parameters of a request that it refuses.
        no_temperature: Models that refuse a temperature: what the last part of their name begins with.
        key_header: A header that holds the key beside `Authorization`.
    """

    name: str
    title: str
    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    paths: tuple[str, ...] = ()
    call_ids: Literal["any", "nine"] = "any"
    call_id_limit: int | None = None
    answer_fields: tuple[str, ...] = REASONING_FIELDS
    answer_fields_back: Literal["never", "with_calls", "always"] = "with_calls"
    padded_field: str = ""
    call_fields: tuple[str, ...] = ("extra_content", "provider_specific_fields")
    strict_roles: bool = False
    bare_calls: Literal["null", "empty", "absent"] = "null"
    system_role: Literal["system", "developer"] = "system"
    max_tokens_key: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    stream_usage: Literal["ask", "always"] = "ask"
    max_tools: int | None = 128
    tool_name: str = r"[A-Za-z0-9_-]{1,64}"
    schema_mends: frozenset[str] = _KNOWN_MENDS
    ends_by: Literal["done", "finish"] = "finish"
    first_byte_s: float = 120.0
    think_tags: bool = True
    formats: tuple[str, ...] = ()
    formats_with_tools: bool = False
    omit: tuple[str, ...] = ()
    no_temperature: str = ""
    key_header: str = ""

    def refuses_temperature(self, model_name: str) -> bool:
        """True when the model called so at this endpoint takes no temperature."""
        last = model_name.rsplit("/", 1)[-1]
        return bool(self.no_temperature) and re.match(self.no_temperature, last) is not None


__all__ = [
    "DEFAULT",
    "FORMATS",
    "NINE",
    "PROFILES",
    "REASONING_FIELDS",
    "SCHEMA_MENDS",
    "Profile",
    "profile_for",
]

# Models that always reason, and refuse a temperature other than 1.
_REASONS = r"o\d|gpt-5(?!-chat|\.[1-4](?!\d))|gpt-5\.[1-3]-chat|gpt-5\.1-codex|gpt-5\.[24]-pro"

FORMATS = ("json_object", "json_schema")
DEFAULT = Profile("default", "any other endpoint")
# What refuses every field that it does not know, or has no use for its own.
_BARE = Profile("", "", answer_fields=(), answer_fields_back="never", call_fields=(), ends_by="done")
_OPENAI = replace(
    _BARE,
    name="openai",
    title="OpenAI",
    hosts=("api.openai.com",),
    call_id_limit=40,
    max_tokens_key="max_completion_tokens",
    first_byte_s=300.0,
    think_tags=False,
    formats=FORMATS,
    formats_with_tools=True,
    no_temperature=_REASONS,
)
# Servers of one's own: any number of tools, and a model that may have to be loaded.
_LOCAL = Profile("", "", max_tools=None, ends_by="done", first_byte_s=300.0)

PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        DEFAULT,
        _OPENAI,
        replace(
            _OPENAI,
            name="azure",
            title="Azure OpenAI",
            hosts=("openai.azure.com", "services.ai.azure.com", "cognitiveservices.azure.com"),
            paths=("/openai/deployments/",),
            key_header="api-key",
        ),
        replace(
            _LOCAL,
            name="vllm",
            title="vLLM",
            # Names without a dot: what services are called in one network of containers.
            hosts=("vllm",),
            ports=(8000,),
            answer_fields=("reasoning", "reasoning_content"),
            formats=FORMATS,
            # Many chat templates refuse two users in a row.
            strict_roles=True,
        ),
        replace(
            _LOCAL,
            name="llamacpp",
            title="llama.cpp",
            hosts=("llamacpp", "llama-cpp", "llama-server"),
            ports=(8080,),
            answer_fields=("reasoning_content",),
            formats=FORMATS,
            # Its grammars are made from schemas, and know nothing to make from these.
            schema_mends=_KNOWN_MENDS | {"no_formats"},
            strict_roles=True,
        ),
        replace(
            _LOCAL,
            name="ollama",
            title="Ollama",
            hosts=("ollama.com", "ollama"),
            ports=(11434,),
            answer_fields=("reasoning",),
            schema_mends=_KNOWN_MENDS | {"no_refs"},
            formats=FORMATS,
        ),
        replace(
            _LOCAL,
            name="lmstudio",
            title="LM Studio",
            hosts=("lmstudio",),
            ports=(1234,),
            answer_fields=("reasoning_content", "reasoning"),
            bare_calls="empty",
            # It refuses json_object.
            formats=("json_schema",),
            strict_roles=True,
        ),
        replace(
            _BARE,
            name="mistral",
            title="Mistral",
            hosts=("mistral.ai",),
            call_ids="nine",
            call_id_limit=9,
            bare_calls="empty",
            stream_usage="always",
            strict_roles=True,
            think_tags=False,
            formats=FORMATS,
            omit=("user",),
        ),
        Profile(
            "deepseek",
            "DeepSeek",
            hosts=("api.deepseek.com",),
            answer_fields=("reasoning_content",),
            # Its final answer after tools counts as well, and the field must be there even when it is empty.
            answer_fields_back="always",
            padded_field="reasoning_content",
            call_fields=(),
            strict_roles=True,
            ends_by="done",
            # A request may queue for ten minutes, with comments as signs of life.
            first_byte_s=300.0,
            think_tags=False,
            formats=("json_object",),
        ),
        Profile(
            "gemini",
            "Gemini",
            hosts=("generativelanguage.googleapis.com", "aiplatform.googleapis.com"),
            paths=("/endpoints/openapi",),
            answer_fields=("extra_content",),
            answer_fields_back="always",
            call_fields=("extra_content",),
            tool_name=r"[A-Za-z_][A-Za-z0-9_-]{0,63}",
            schema_mends=frozenset(SCHEMA_MENDS),
            ends_by="done",
            think_tags=False,
            formats=FORMATS,
        ),
        # It refuses `reasoning_content`, and `reasoning` for models that do not reason; forms of answers it
        # does not stream.
        replace(_BARE, name="groq", title="Groq", hosts=("api.groq.com",)),
        Profile(
            "openrouter",
            "OpenRouter",
            hosts=("openrouter.ai",),
            answer_fields=("reasoning_details", "reasoning", "reasoning_content"),
            call_fields=("extra_content",),
            ends_by="done",
            first_byte_s=300.0,
            formats=FORMATS,
        ),
        Profile(
            "litellm",
            "LiteLLM",
            hosts=("litellm",),
            ports=(4000,),
            answer_fields=("reasoning_content", "thinking_blocks", "provider_specific_fields"),
            ends_by="done",
            first_byte_s=300.0,
            formats=FORMATS,
            no_temperature=_REASONS,
        ),
    )
}


def profile_for(name: str, url: str) -> Profile:
    """The profile called `name`; for an empty name the one that the address looks like, or the default."""
    return PROFILES[name] if name else guessed(url)


def guessed(url: str) -> Profile:
    """The profile that a base URL looks like: by its host, then its path, then its port."""
    parts = urlsplit(url)
    host, path = (parts.hostname or "").lower(), parts.path.lower()
    try:
        port = parts.port
    except ValueError:
        port = None
    known = list(PROFILES.values())
    found = [p for p in known if any(host == h or host.endswith(f".{h}") for h in p.hosts)]
    found += [p for p in known if any(piece in path for piece in p.paths)]
    found += [p for p in known if port in p.ports]
    return found[0] if found else DEFAULT
