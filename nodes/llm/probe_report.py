"""Runs a probe of one model of the catalogue, and shows what it found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from core.cli import print_fields, print_table
from core.errors import InvalidInput
from core.observability import never_log
from core.observability.redaction import clean
from nodes.llm.adapters.questions import Questions
from nodes.llm.caller import LLMCaller
from nodes.llm.errors import ModelNotFound
from nodes.llm.models import ASK_ENDPOINT, Model
from nodes.llm.probe import Probe, Seen
from nodes.llm.profiles import Profile, profile_for
from nodes.llm.settings import ModelEntry
from nodes.llm.verdict import Verdict, judge

_LONGEST = 160
_SCHEMA_NAMES = {
    "array_items": "an array without items",
    "top_combinator": "anyOf at the top",
    "no_meta": "$schema",
    "no_additional": "additionalProperties",
    "no_unions": "a list of types",
}


async def probed(llm: LLMCaller, name: str, *, seconds: float) -> dict[str, Any]:
    """What there is to say of the endpoint of the model called `name`.

    Args:
        seconds: The longest that one question may take.

    Raises:
        ModelNotFound: There is no such model.
        InvalidInput: It has no endpoint.
    """
    entry = _entry(llm.entries(), name)
    never_log(entry.api_key.get_secret_value())
    questions = Questions(entry, seconds=seconds)
    try:
        model_name = await _model_name(entry, questions)
        seen = await Probe(entry, model_name, questions).run()
    finally:
        await questions.aclose()
    used = profile_for(entry.profile, entry.model_url)
    return _report(name, model_name, entry, used, seen, judge(seen, used, model_name))


def shown(report: Mapping[str, Any]) -> None:
    """The report for people."""
    print_fields({key: report[key] for key in ("model", "endpoint", "model_name", "questions", "tokens")})
    print()
    print_table(
        ("question", "answer", "said"), [(a["question"], a["answer"], a["said"]) for a in report["answers"]]
    )
    print()
    print_fields({"usable": "yes" if report["usable"] else "no", "profile": _advice(report)})
    for problem in report["problems"]:
        print_fields({"problem": problem})


def _advice(report: Mapping[str, Any]) -> str:
    used, fits = report["profile_in_use"], report["profile"]
    how = "named" if report["profile_named"] else "by its address"
    if used == fits or not report["usable"]:
        return f"{used} ({how})"
    return f"{fits} fits; in use is {used} ({how}): set `profile: {fits}`, or OPENAI_PROFILE={fits}"


def _entry(models: Mapping[str, Model], name: str) -> ModelEntry:
    if name not in models:
        raise ModelNotFound(f"no model '{name}'; known: {', '.join(models)}")
    entry = models[name].entry
    if entry is None or entry.provider:
        raise InvalidInput(f"the model '{name}' has no endpoint to ask")
    return entry


async def _model_name(entry: ModelEntry, questions: Questions) -> str:
    if entry.model_name != ASK_ENDPOINT:
        return entry.model_name
    _, listed = await questions.models()
    names = [str(item["id"]) for item in listed if item.get("id")]
    return names[0] if names else ""


def _report(  # noqa: PLR0917 - one caller, which has just made them
    name: str, model_name: str, entry: ModelEntry, used: Profile, seen: Seen, verdict: Verdict
) -> dict[str, Any]:
    answers = [
        {"question": question, "answer": answer, "said": _said(seen, key)}
        for key, question, answer in _answers(seen, model_name)
        if answer
    ]
    return {
        "model": name,
        "endpoint": _address(entry.model_url),
        "model_name": model_name,
        "usable": verdict.usable,
        "profile": verdict.profile,
        "profile_in_use": used.name,
        "profile_named": bool(entry.profile),
        "problems": list(verdict.problems),
        "answers": answers,
        "questions": seen.asked,
        "tokens": seen.tokens,
    }


def _address(url: str) -> str:
    """The address without what may be secret in it: a user, a query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _answers(seen: Seen, model_name: str) -> list[tuple[str, str, str]]:
    """Each question: its key in `Seen.words`, its name, its answer; "" where it was not asked."""
    names = [str(item.get("id")) for item in seen.listed]
    listed = "" if not names else "it lists the model" if model_name in names else f"not '{model_name}'"
    fields = ", ".join(sorted({*seen.fields, *seen.call_fields}))
    return [
        ("models", "list of models", listed or ("refused" if "models" in seen.words else "no list")),
        ("plain", "plain answer", seen.stopped or f"yes, its limit is {seen.limit_key}"),
        ("stream", "stream", _yes(seen.streams, f"yes, first sign of life after {seen.first_s:.1f} s")),
        ("stream_options", "stream_options", _yes(seen.stream_options)),
        ("usage", "tokens counted in a stream", _yes(seen.usage)),
        ("temperature", "temperature", _yes(seen.temperature)),
        ("system", "system message", _yes(seen.system)),
        ("two_users", "two user messages in a row", _yes(seen.two_users)),
        ("empty_answers", "an empty answer in the history", _yes(seen.empty_answers)),
        ("calls", "calls a tool", _yes(seen.calls, f"yes, its id is '{seen.call_id[:40]}'")),
        ("fields", "fields of its own in answers", fields),
        ("tool_results", "takes the tool's result back", _yes(seen.tool_results, _form(seen))),
        ("takes_fields", "takes its own fields back", _yes(seen.takes_fields)),
        ("ids", "takes ids of others", _others(seen)),
        ("at_once", "calls at once, of two", "" if seen.at_once is None else str(seen.at_once)),
        *(
            (mend, f"schema: {what}", _yes(not seen.mends[mend]))
            for mend, what in _SCHEMA_NAMES.items()
            if mend in seen.mends
        ),
    ]


def _yes(value: bool | None, yes: str = "yes") -> str:
    return "" if value is None else yes if value else "no"


def _form(seen: Seen) -> str:
    form = {"null": "yes", "empty": 'yes, with content ""', "absent": "yes, without content"}.get(
        seen.bare, "yes"
    )
    if seen.padding:
        return f"{form}, with {seen.padding} in every answer"
    return f"{form}, with {', '.join(sorted(seen.wanted))}" if seen.wanted else form


def _others(seen: Seen) -> str:
    if seen.long_ids:
        return "any"
    return _yes(seen.nine_ids, "nine letters or digits only")


def _said(seen: Seen, key: str) -> str:
    """The endpoint's own words, without our key and what else looks like a secret."""
    words = clean(seen.words.get(key, ""))
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]} ..."
