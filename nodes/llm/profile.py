"""What a kind of OpenAI-compatible endpoint wants and does: the client reads it and knows no vendor."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

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
    omit: tuple[str, ...] = ()
    no_temperature: str = ""
    key_header: str = ""

    def refuses_temperature(self, model_name: str) -> bool:
        """True when the model called so at this endpoint takes no temperature."""
        last = model_name.rsplit("/", 1)[-1]
        return bool(self.no_temperature) and re.match(self.no_temperature, last) is not None
