"""Errors of endpoints as ours. Their own text stays out: it may hold parts of keys and prompts."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from core.choices import SAMPLED
from core.errors import WaystationError
from nodes.llm.errors import ModelContextFull, ModelRateLimited, ModelRefused, ModelUnavailable

log = structlog.get_logger()

_SAFE_CODE = re.compile(r"[a-zA-Z0-9_.-]{1,60}")
_FULL = re.compile(
    r"context.?(?:length|window|size)|maximum context|too many tokens|prompt is too long"
    r"|(?:input|prompt|request)(?: token count)?.{0,40}(?:exceeds?|longer than|too large for).{0,40}"
    r"(?:token|context|model)|reduce the length|string_above_max_length|tokens to keep|max_prompt_tokens",
    re.IGNORECASE,
)
_ANSWER_TOO_LONG = re.compile(
    r"max_(?:completion_|output_)?tokens.{0,60}too (?:large|high|big)|in the completion|too large: \d+",
    re.IGNORECASE,
)
_NOT_TAKEN = re.compile(
    r"unsupported|unrecognized|unknown|unexpected|not permitted|not supported|not allowed"
    r"|extra (?:inputs|fields)|does not support|invalid argument|no such parameter|not available",
    re.IGNORECASE,
)
_ROLES = re.compile(
    r"roles must|must alternate|alternating|unexpected role|after role"
    r"|(?:consecutive|successive) (?:user|messages)",
    re.IGNORECASE,
)
_PLACE = re.compile(r"(?:tools|function_declarations)(?:\[|\.)(\d{1,4})")
_LONGEST = 4_000
_STATUSES = frozenset(str(status) for status in range(400, 600))
# Errors within an answer of status 200 say only of what kind they are.
_STATUS_OF = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
}
_PASSING = (408, 409, 425)
_KEY = "{endpoint} refused our key ({status}); check its api_key"
_SENTENCES = {
    300: "{endpoint} sends us elsewhere ({status}); set model_url to the address that it names",
    401: _KEY,
    403: _KEY,
    404: "{endpoint} knows no model '{model}', or its address is wrong (404)",
}
OPTIONAL = (
    *("stream_options", "max_completion_tokens", "max_tokens", *SAMPLED, "user"),
    *("response_format", "parallel_tool_calls", "tool_choice", "stop"),
)
"""Parameters that an answer can do without, longer names first."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error of an endpoint, in whatever shape it came."""

    status: int
    code: str = ""
    message: str = ""
    param: str = ""
    retry_after: float | None = None

    @classmethod
    def of(cls, body: Any, *, status: int, headers: Mapping[str, str] | None = None) -> Refusal:
        """Read an error body: OpenAI's object, a list with one, a bare text, or something of that kind.

        Args:
            status: Of the response; 0 where the error came within an answer.
        """
        found = body[0] if isinstance(body, list) and body else body
        if isinstance(found, Mapping) and found.get("error"):
            found = found["error"]
        if not isinstance(found, Mapping):
            return cls(status, message=str(found or "")[:_LONGEST], retry_after=retry_after(headers or {}))
        said = found.get("message") or found.get("detail") or found.get("msg") or ""
        code = found.get("code") or found.get("type") or ""
        within = int(code) if str(code) in _STATUSES else 0
        kind = found.get("type") or found.get("status") or "" if str(code).isdigit() else code
        return cls(
            status or within or _STATUS_OF.get(str(found.get("type") or code), 0),
            str(kind)[:200],
            _inner(found, said)[:_LONGEST],
            str(found.get("param") or "")[:200],
            retry_after(headers or {}),
        )

    @property
    def full(self) -> bool:
        """The request is too long for the model."""
        words = f"{self.code} {self.message}"
        return self.status == 413 or (self.status in (0, 400, 422, 500) and _FULL.search(words) is not None)

    @property
    def answer_too_long(self) -> bool:
        """Not the conversation is too long, but the answer that we would allow."""
        return self.status in (400, 422) and _ANSWER_TOO_LONG.search(self.message) is not None

    @property
    def about_roles(self) -> bool:
        """Messages of people and of the model have to take turns, and do not."""
        return self.status in (400, 422, 500) and _ROLES.search(self.message) is not None

    def not_taken(self, sent: Collection[str]) -> str:
        """The optional parameter that the endpoint does not take; "" where it is not about one."""
        if self.status not in (400, 422):
            return ""
        for name in OPTIONAL:
            named = self.param == name or re.search(rf"\b{name}\b", self.message)
            if name in sent and named and _NOT_TAKEN.search(f"{self.code} {self.message}"):
                return name
        return ""

    def tool(self, tools: Sequence[Mapping[str, Any]]) -> str:
        """The name of the tool that the endpoint does not accept; "" where it names none."""
        names = [str(tool.get("function", {}).get("name", "")) for tool in tools]
        # The last place is the innermost: a list of tools may hold a list of functions.
        places = [int(place) for place in _PLACE.findall(f"{self.param} {self.message}")][-1:]
        words = set(re.findall(r"[A-Za-z0-9_-]+", self.message))
        said = max((name for name in names if name in words), key=len, default="")
        return said or next((names[place] for place in places if place < len(names)), "")


class Refusals:
    """Makes our errors of what the endpoint of one model says.

    Args:
        name: The model's name in the catalogue.
        model_name: Its name at the endpoint.
        remedy: What to do about a refusal that says nothing of a tool.
    """

    def __init__(self, name: str, model_name: str, *, remedy: str = "") -> None:
        self._name = name
        self._model_name = model_name
        self._remedy = remedy or f"`waystation llm probe {name}` finds out what it does not take"

    def error(self, refusal: Refusal, tools: Sequence[Mapping[str, Any]] = ()) -> WaystationError:
        """The error for a refusal."""
        status, endpoint = refusal.status, f"the endpoint of the model '{self._name}'"
        if refusal.full:
            return ModelContextFull(
                f"the conversation is longer than the model '{self._name}' accepts ({status})"
            )
        if status == 429:
            after = refusal.retry_after
            hint = f"; it asks to wait {after:g} s" if after is not None else ""
            return ModelRateLimited(f"{endpoint} limits requests (429){hint}", retry_after=after)
        if not status:
            return ModelUnavailable(f"{endpoint} reported an error")
        if status in _PASSING or status >= 500:
            return ModelUnavailable(f"{endpoint} failed ({status})")
        if say := _SENTENCES.get(300 if 300 <= status < 400 else status):
            return ModelRefused(say.format(endpoint=endpoint, status=status, model=self._model_name))
        return self._refused(refusal, tools)

    def _refused(self, refusal: Refusal, tools: Sequence[Mapping[str, Any]]) -> ModelRefused:
        reason = f": {refusal.code}" if _SAFE_CODE.fullmatch(refusal.code) else ""
        tool = refusal.tool(tools)
        log.warning("model_refused", model=self._name, status=refusal.status, code=reason[2:], tool=tool)
        about = f"it names the tool '{tool}': mend its schema, or leave it out" if tool else self._remedy
        refused = f"the endpoint of the model '{self._name}' refused the request ({refusal.status})"
        return ModelRefused(f"{refused}{reason}; {about}")


def _inner(found: Mapping[str, Any], said: Any) -> str:
    """The message, and what a proxy quotes of the endpoint behind it."""
    inner = found.get("metadata")
    raw = inner.get("raw") if isinstance(inner, Mapping) else None
    return f"{said} {raw}" if isinstance(raw, str) else str(said)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of Retry-After; a date in it is left alone."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(seconds, 0.0) if seconds < 1e9 else None
