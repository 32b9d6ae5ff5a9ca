"""What known OpenAI-compatible endpoints want and do, as data: the client reads it and knows no vendor."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

NINE = re.compile(r"[A-Za-z0-9]{9}")
"""The form of a tool-call id that every endpoint known to us takes."""


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
        call_id_limit: Longest id that it takes.
        answer_fields: Fields of its answer that it may want back unchanged.
        answer_fields_back: With which answers those go back: `never`, those `with_calls`, or `always`.
        call_fields: Fields of a tool call that go back unchanged, always.
        strict_roles: User and assistant must take turns.
        bare_calls: `content` of an answer that has tool calls and no text: null, "" or left out.
        system_role: The role of our instructions.
        max_tokens_key: How it calls the limit of an answer.
        stream_usage: Whether usage in a stream must be asked for by `stream_options`; `always` there
            unasked, or `refused`: it does not know `stream_options`.
        max_tools: Most tools that it takes; None for no limit known.
        tool_name: What a tool's name must match as a whole.
        schema_mends: What must be mended in a tool's schema before it is sent, see SCHEMA_MENDS.
        ends_by: What ends a stream: `done` for `[DONE]`, `finish` where a finish reason is enough,
            `close` where the end of the body after content must do.
        first_byte_s: Patience for the first sign of life, in seconds; a model may have to be loaded first.
        think_tags: Reasoning may stand in the text, between <think> and </think>.
        omit: Parameters of a request that it refuses.
        no_temperature: Models that refuse a temperature: the beginnings of their names.
        key_header: A header that holds the key beside `Authorization`.
    """

    name: str
    title: str
    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    paths: tuple[str, ...] = ()
    call_ids: Literal["any", "nine"] = "any"
    call_id_limit: int = 64
    answer_fields: tuple[str, ...] = (
        "reasoning_content",
        "reasoning",
        "reasoning_details",
        "thinking_blocks",
    )
    answer_fields_back: Literal["never", "with_calls", "always"] = "with_calls"
    call_fields: tuple[str, ...] = ("extra_content",)
    strict_roles: bool = False
    bare_calls: Literal["null", "empty", "absent"] = "null"
    system_role: Literal["system", "developer"] = "system"
    max_tokens_key: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    stream_usage: Literal["ask", "always", "refused"] = "ask"
    max_tools: int | None = 128
    tool_name: str = r"[A-Za-z0-9_-]{1,64}"
    schema_mends: frozenset[str] = frozenset({"array_items", "top_combinator", "top_object"})
    ends_by: Literal["done", "finish", "close"] = "finish"
    first_byte_s: float = 120.0
    think_tags: bool = True
    omit: tuple[str, ...] = ()
    no_temperature: tuple[str, ...] = ()
    key_header: str = ""


SCHEMA_MENDS = {
    "array_items": "an array without `items` gets `items: {}`",
    "top_object": "a schema whose top is no object becomes one",
    "top_combinator": "anyOf, oneOf, allOf, not and enum at the top are folded into `properties`",
    "typed_items": "`items: {}` gets a type",
    "no_meta": "$schema, $id, $comment, examples and default are left out",
    "no_refs": "$ref is replaced by what it names",
    "no_unions": "a list of types becomes its first type that is not null",
    "no_additional": "additionalProperties is left out",
    "string_enums": "values of an enum become text",
    "no_formats": "formats other than those of dates are left out",
}
"""The mends that a profile may name, and what each does."""

DEFAULT = Profile("default", "any endpoint that speaks chat completions")

PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        DEFAULT,
        Profile(
            "openai",
            "OpenAI",
            hosts=("api.openai.com",),
            call_id_limit=40,
            answer_fields=(),
            answer_fields_back="never",
            call_fields=(),
            max_tokens_key="max_completion_tokens",
            ends_by="done",
            think_tags=False,
            no_temperature=("o1", "o3", "o4", "gpt-5"),
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
