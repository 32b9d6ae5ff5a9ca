"""docs/reference/profiles.md: the table of known endpoints."""

from __future__ import annotations

from collections.abc import Callable

from docs.writers.markdown import code, document, table
from nodes.llm.profiles import PROFILES, SCHEMA_MENDS, Profile

_BACK = {"never": "never", "with_calls": "with tool calls", "always": "always"}
_BARE = {"null": "`null`", "empty": '`""`', "absent": "left out"}


def page() -> str:
    """How each endpoint is known, what it is sent, what comes back to it, how its streams are read."""
    return document(
        "Endpoint profiles",
        "What `profile:` may say, and what it changes. How one is chosen stands in "
        "[endpoints](../endpoints.md), where each line was read in "
        "[decision 0024](../decisions/0024-endpoint-profiles.md).",
        _part("How it is known", ("host is, or ends in", "path holds", "port"), _known),
        _part("What a request looks like", _REQUEST, _request),
        _part("What an answer carries when it is sent back", _ANSWER, _answer),
        _part("How an answer is read", _STREAM, _stream),
        _part("Tools", ("at most", "name", "schemas are mended"), _tools),
        "\n\n".join(["## Mends of a tool's schema", table(("name", "does"), _mends())]),
    )


_REQUEST = ("limit of an answer", "usage in a stream", "system role", "left out", "roles take turns", "key")
_ANSWER = ("fields", "when", "fields of a call", "text of an answer with calls only", "tool-call ids")
_STREAM = ("first sign of life within", "its streams end with", "<think> is split off")


def _part(title: str, columns: tuple[str, ...], row: Callable[[Profile], tuple[str, ...]]) -> str:
    rows = [(code(profile.name), *row(profile)) for profile in PROFILES.values()]
    return "\n\n".join([f"## {title}", table(("profile", *columns), rows)])


def _known(profile: Profile) -> tuple[str, ...]:
    ports = ", ".join(map(str, profile.ports))
    return ", ".join(map(code, profile.hosts)), ", ".join(map(code, profile.paths)), ports


def _request(profile: Profile) -> tuple[str, ...]:
    hot = ["temperature of models that always reason"] if profile.no_temperature else []
    return (
        code(profile.max_tokens_key),
        "asked for" if profile.stream_usage == "ask" else "comes unasked",
        profile.system_role,
        ", ".join([*profile.omit, *hot]),
        _yes(profile.strict_roles),
        f"also in `{profile.key_header}`" if profile.key_header else "",
    )


def _answer(profile: Profile) -> tuple[str, ...]:
    padded = f"; {code(profile.padded_field)} in every answer" if profile.padded_field else ""
    longest = f", at most {profile.call_id_limit}" if profile.call_id_limit else ""
    ids = "nine letters or digits" if profile.call_ids == "nine" else f"as they came{longest}"
    return (
        ", ".join(map(code, profile.answer_fields)),
        _BACK[profile.answer_fields_back] + padded,
        ", ".join(map(code, profile.call_fields)),
        _BARE[profile.bare_calls],
        ids,
    )


def _stream(profile: Profile) -> tuple[str, ...]:
    ends = "`[DONE]`" if profile.ends_by == "done" else "a finish reason or `[DONE]`"
    return f"{profile.first_byte_s:g} s", ends, _yes(profile.think_tags)


def _tools(profile: Profile) -> tuple[str, ...]:
    every = profile.schema_mends == frozenset(SCHEMA_MENDS)
    mends = "all of them" if every else ", ".join(code(m) for m in SCHEMA_MENDS if m in profile.schema_mends)
    return str(profile.max_tools or ""), code(profile.tool_name), mends


def _mends() -> list[tuple[str, str]]:
    return [(code(name), what) for name, what in SCHEMA_MENDS.items()]


def _yes(value: bool) -> str:
    return "yes" if value else ""
