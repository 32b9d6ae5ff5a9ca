"""What a probe's answers mean: which profile fits, and what will not work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nodes.llm.probe import Seen
from nodes.llm.profiles import NINE, PROFILES, Profile


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do about an endpoint.

    Args:
        usable: A turn can work at all.
        profile: The one that fits best.
        problems: What would not work with the profile in use, and what does not work with any.
    """

    usable: bool
    profile: str
    problems: tuple[str, ...]


Sign = Callable[[Seen], bool]
# By what each endpoint gives itself away, whatever its address.
_SIGNS: dict[str, Sequence[Sign]] = {
    "azure": (lambda s: bool(s.asides & {"prompt_filter_results"}), lambda s: s.key_header == "api-key"),
    "vllm": (lambda s: s.call_id.startswith("chatcmpl-tool-"), lambda s: _owner(s) == "vllm"),
    "llamacpp": (lambda s: "timings" in s.asides, lambda s: _owner(s) == "llamacpp"),
    "ollama": (lambda s: s.fingerprint == "fp_ollama", lambda s: _owner(s) == "library"),
    "lmstudio": (
        lambda s: len(s.call_id) == 9 and s.call_id.isdigit(),
        lambda s: _owner(s) == "organization_owner",
    ),
    "mistral": (
        lambda s: s.nine_ids is True and not s.call_id.isdigit(),
        lambda s: _owner(s) == "mistralai",
    ),
    "deepseek": (lambda s: s.call_id.startswith("call_00_"), lambda s: _owner(s) == "deepseek"),
    "gemini": (lambda s: "extra_content" in s.call_fields, lambda s: _owner(s) == "google"),
    "groq": (lambda s: "x_groq" in s.asides, lambda s: _owner(s).lower() == "groq"),
    "openrouter": (lambda s: any("OPENROUTER" in c for c in s.comments),),
    "litellm": (lambda s: "__thought__" in s.call_id, lambda s: "provider_specific_fields" in s.call_fields),
}

_BARE = {"null": "null", "empty": '""', "absent": "no content"}


def judge(seen: Seen, used: Profile, model_name: str) -> Verdict:
    """The profile that fits best, and what is wrong.

    Args:
        used: The profile that the model has now.
        model_name: The model's name at the endpoint.
    """
    if seen.stopped:
        return Verdict(False, used.name, (seen.stopped,))
    fits = min(PROFILES.values(), key=lambda p: _rank(p, seen, used, model_name))
    against = [f"profile {used.name}: {what}" for what in conflicts(used, seen, model_name)]
    return Verdict(seen.streams is not False, fits.name, (*against, *_anyway(seen)))


def conflicts(profile: Profile, seen: Seen, model_name: str) -> list[str]:
    """What would not work with the profile."""
    return [
        *_parameters(profile, seen, model_name),
        *_messages(profile, seen),
        *(f"it refuses what '{mend}' would mend in a tool's schema" for mend in _unmended(profile, seen)),
    ]


def _rank(profile: Profile, seen: Seen, used: Profile, model_name: str) -> tuple[Any, ...]:
    signs = sum(sign(seen) for sign in _SIGNS.get(profile.name, ()))
    other_key = profile.max_tokens_key != seen.limit_key
    return len(conflicts(profile, seen, model_name)), -signs, other_key, profile is not used


def _parameters(profile: Profile, seen: Seen, model_name: str) -> Iterator[str]:
    if seen.limit_key not in {profile.max_tokens_key, "max_tokens"}:
        yield f"the limit of an answer is called {seen.limit_key}"
    if seen.stream_options is False and profile.stream_usage == "ask":
        yield "it refuses stream_options"
    if seen.temperature is False and not profile.refuses_temperature(model_name):
        yield "it refuses a temperature; set `temperature: null`"
    if seen.key_header and profile.key_header != seen.key_header:
        yield f"it wants the key in the header {seen.key_header}"


def _messages(profile: Profile, seen: Seen) -> Iterator[str]:
    if seen.two_users is False and not profile.strict_roles:
        yield "user and assistant have to take turns"
    if seen.bare not in {"", "null", profile.bare_calls}:
        yield f"an answer with calls and no text has to have {_BARE[seen.bare]}"
    if seen.padding not in {"", profile.padded_field}:
        yield f"every answer has to carry {seen.padding}"
    if lost := sorted(seen.wanted & _known() - {*_sent(profile, seen)}):
        yield f"an answer with calls has to come back with {', '.join(lost)}"
    if seen.takes_fields is False and (sent := list(_sent(profile, seen))):
        yield f"it refuses {', '.join(sent)} in an answer that comes back"
    yield from _ids(profile, seen)


def _ids(profile: Profile, seen: Seen) -> Iterator[str]:
    only_nine = seen.nine_ids and not seen.long_ids
    if only_nine and profile.call_ids != "nine":
        yield "tool-call ids have to be nine letters or digits"
    if not only_nine and seen.call_id and profile.call_ids == "nine" and not NINE.fullmatch(seen.call_id):
        yield "its own tool-call ids have to come back as they were"


def _sent(profile: Profile, seen: Seen) -> Iterator[str]:
    """Fields that it sent and the profile sends back."""
    if profile.answer_fields_back != "never":
        yield from sorted(seen.fields.keys() & set(profile.answer_fields))
    yield from sorted(seen.call_fields & set(profile.call_fields))


def _known() -> set[str]:
    """Fields that some endpoint is known to want; what else it may say of itself is of no use to it."""
    return {name for other in PROFILES.values() for name in (*other.answer_fields, *other.call_fields)}


def _unmended(profile: Profile, seen: Seen) -> list[str]:
    return sorted(mend for mend, needed in seen.mends.items() if needed and mend not in profile.schema_mends)


def _anyway(seen: Seen) -> list[str]:
    """What no profile helps against."""
    no_calls = seen.calls is False
    told = "calls" in seen.words
    found = {
        "it does not stream": seen.streams is False,
        "a stream counts no tokens: usage and cost stay 0": seen.usage is False,
        "it refuses a system message": seen.system is False,
        "it takes no tools: set `supports_tools: false`": no_calls and told,
        "it called no tool when asked to; is the model, or its server, made for tools?": no_calls
        and not told,
        "it does not take a tool's result back": bool(seen.calls) and not seen.tool_results,
        "it makes one tool call at a time": seen.at_once == 1,
        "it takes no conversation with tool calls that another endpoint made": "ids" in seen.words,
    }
    return [what for what, holds in found.items() if holds]


def _owner(seen: Seen) -> str:
    return next((str(item["owned_by"]) for item in seen.listed if item.get("owned_by")), "")
