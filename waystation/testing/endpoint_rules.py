"""What known endpoints refuse, each in the words and the shape of its own errors.

`ModelServer(rules="mistral")` holds to a set of these. They know nothing of the
table in `nodes.llm.profiles`: what stands there is put to the test here. The
single rules are in `endpoint_checks`, how an answer looks in `endpoint_wires`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from waystation.testing import endpoint_checks as check
from waystation.testing.endpoint_checks import Asked, Problem
from waystation.testing.endpoint_wires import WIRES, Wire

Body = dict[str, Any]
Shape = Callable[[Problem], Any]


def openai_shape(problem: Problem) -> Any:
    """The error object that most know."""
    error = {"message": problem.text, "type": problem.kind, "param": problem.param, "code": problem.code}
    return {"error": error}


def numbered_shape(problem: Problem) -> Any:
    """As OpenAI's, with the status for a code."""
    error = {"message": problem.text, "type": "BadRequestError", "param": None, "code": problem.status}
    return {"error": error}


def llamacpp_shape(problem: Problem) -> Any:
    return {"error": {"code": problem.status, "message": problem.text, "type": problem.kind}}


def mistral_shape(problem: Problem) -> Any:
    """Its message is a text, or for fields that it does not know an object."""
    message: Any = problem.text
    if problem.kind == "extra_forbidden":
        where = [{"type": problem.kind, "loc": ["body", problem.param], "msg": problem.text}]
        message = {"detail": where}
    return {
        "object": "error",
        "message": message,
        "type": "invalid_request_error",
        "param": None,
        "code": problem.code,
    }


def gemini_shape(problem: Problem) -> Any:
    """A list of one."""
    return [{"error": {"code": problem.status, "message": problem.text, "status": "INVALID_ARGUMENT"}}]


def text_shape(problem: Problem) -> Any:
    """A text where others have an object."""
    return {"error": problem.text}


def routed_shape(problem: Problem) -> Any:
    return {"error": {"message": problem.text, "code": problem.status, "metadata": {"provider_name": "X"}}}


@dataclass(frozen=True)
class Rules:
    """One endpoint: what it refuses, how it says so, how it answers."""

    name: str
    checks: Sequence[Callable[[Asked], Problem | None]]
    shape: Shape
    wire: Wire

    def refusal(self, asked: Asked) -> tuple[int, Any] | None:
        """Status and body of what it says to a request that it does not take."""
        for one in self.checks:
            if problem := one(asked):
                return problem.status, self.shape(problem)
        return None


_OPENAI_MESSAGE = {"role", "content", "name", "tool_calls", "tool_call_id", "refusal", "audio"}
_OPENAI_BODY = {
    *("model", "messages", "stream", "stream_options", "tools", "tool_choice", "parallel_tool_calls"),
    *("temperature", "top_p", "n", "stop", "max_tokens", "max_completion_tokens", "user", "seed"),
    *("response_format", "reasoning_effort"),
}
_MISTRAL_MESSAGE = {"role", "content", "tool_calls", "tool_call_id", "name", "prefix"}
_MISTRAL_BODY = {
    *("model", "messages", "stream", "tools", "tool_choice", "parallel_tool_calls", "temperature"),
    *("top_p", "n", "stop", "max_tokens", "random_seed", "response_format", "safe_prompt"),
}
_STRICT_TOOLS = (check.at_most_tools(128), check.names(r"[A-Za-z0-9_-]{1,64}"), check.arrays_have_items)
_TEMPLATE = (check.system_comes_first, check.turns_alternate, check.no_developer, check.arguments_are_objects)

_TABLE: dict[str, tuple[Sequence[Callable[[Asked], Problem | None]], Shape]] = {
    "openai": (
        (
            check.only_fields(_OPENAI_BODY, _OPENAI_MESSAGE, "Unrecognized request argument supplied: {}"),
            check.not_max_tokens,
            check.no_temperature_for_reasoners,
            check.calls_are_answered,
            check.ids_at_most(40),
            check.answers_say_something,
            *_STRICT_TOOLS,
            check.plain_top,
            check.context(
                "context_length_exceeded", "This model's maximum context length is {limit} tokens."
            ),
        ),
        openai_shape,
    ),
    "azure": (
        (
            check.key_in_header,
            check.only_fields(_OPENAI_BODY, _OPENAI_MESSAGE, "Unrecognized request argument supplied: {}"),
            check.not_max_tokens,
            check.no_temperature_for_reasoners,
            check.calls_are_answered,
            check.ids_at_most(40),
            check.answers_say_something,
            *_STRICT_TOOLS,
            check.plain_top,
            check.context(
                "context_length_exceeded", "This model's maximum context length is {limit} tokens."
            ),
        ),
        openai_shape,
    ),
    "vllm": (
        (
            *_TEMPLATE,
            check.calls_are_answered,
            check.context(
                None,
                "This model's maximum context length is {limit} tokens. However, you requested {asked} "
                "tokens ({asked} in the messages, 0 in the completion). Please reduce the length of the "
                "messages.",
            ),
        ),
        numbered_shape,
    ),
    "llamacpp": (
        (
            *_TEMPLATE,
            check.answers_say_something,
            check.context(
                None,
                "request ({asked} tokens) exceeds the available context size ({limit} tokens), "
                "try increasing it",
                kind="exceed_context_size_error",
            ),
        ),
        llamacpp_shape,
    ),
    "ollama": ((check.arguments_are_objects, check.answers_say_something), openai_shape),
    "lmstudio": (
        (
            *_TEMPLATE,
            check.contents_are_text,
            check.context(
                None,
                "Trying to keep the first {asked} tokens when context the overflows. However, the model is "
                "loaded with context length of only {limit} tokens.",
            ),
        ),
        text_shape,
    ),
    "mistral": (
        (
            check.only_fields(_MISTRAL_BODY, _MISTRAL_MESSAGE, "Extra inputs are not permitted", status=422),
            check.tools_are_some,
            check.no_developer,
            check.ids_are_nine,
            check.calls_are_answered,
            check.answers_say_something,
            check.system_comes_first,
            check.turns_alternate,
            check.at_most_tools(128),
            check.names(r"[A-Za-z0-9_-]{1,64}"),
            check.context(
                "3051",
                "Prompt contains {asked} tokens and 0 draft tokens, too large for model with {limit} "
                "maximum context length",
            ),
        ),
        mistral_shape,
    ),
    "deepseek": (
        (
            check.calls_are_answered,
            check.no_developer,
            check.reasoning_comes_back,
            check.at_most_tools(128),
            check.names(r"[A-Za-z0-9_-]{1,64}"),
            check.context(
                "invalid_request_error",
                "This model's maximum context length is {limit} tokens. However, you requested {asked} "
                "tokens ({asked} in the messages, 0 in the completion). Please reduce the length of the "
                "messages or completion.",
            ),
        ),
        openai_shape,
    ),
    "gemini": (
        (
            check.names(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}"),
            check.schema_keys_are_known,
            check.arguments_are_objects,
            check.signatures_come_back,
            check.calls_are_answered,
            check.answers_say_something,
            check.context(
                None,
                "The input token count ({asked}) exceeds the maximum number of tokens allowed ({limit}).",
            ),
        ),
        gemini_shape,
    ),
    "groq": (
        (
            check.only_fields(
                _OPENAI_BODY | {"reasoning_format", "reasoning_effort", "service_tier"},
                _OPENAI_MESSAGE,
                "for 'role:assistant' the following must be satisfied[(property '{}' is unsupported)]",
            ),
            check.calls_are_answered,
            *_STRICT_TOOLS,
            check.context(
                "context_length_exceeded", "Please reduce the length of the messages or completion."
            ),
        ),
        openai_shape,
    ),
    "openrouter": (
        (
            check.calls_are_answered,
            check.field_comes_back("reasoning_details"),
            check.at_most_tools(128),
            check.context(
                None,
                "This endpoint's maximum context length is {limit} tokens. However, you requested about "
                "{asked} tokens ({asked} of text input). Please reduce the length of either one.",
            ),
        ),
        routed_shape,
    ),
    "litellm": (
        (
            check.calls_are_answered,
            check.ids_come_back,
            check.field_comes_back("thinking_blocks"),
            check.no_temperature_for_reasoners,
            check.context(
                "400",
                "litellm.ContextWindowExceededError: litellm.BadRequestError: AnthropicException - prompt is "
                "too long: {asked} tokens > {limit} maximum",
            ),
        ),
        openai_shape,
    ),
}

RULES: dict[str, Rules] = {
    name: Rules(name, checks, shape, WIRES[name]) for name, (checks, shape) in _TABLE.items()
}
"""The rules of each endpoint, by the name that its profile has too."""
