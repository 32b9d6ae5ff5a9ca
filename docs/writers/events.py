"""docs/reference/events.md: the stream vocabulary."""

from __future__ import annotations

from docs.writers.markdown import code, document, table
from graph.runs.events import LAST, VOCABULARY

MEANING = {
    "run_started": "The turn was let in and its message is stored.",
    "config": "What this turn uses: its model, the full names of its tools, its sources.",
    "documents": "Passages that were found, and sources that did not answer, with the reason. `searched` is "
    "there where another text than the question was searched for.",
    "answer": "An answer begins, which will stand in the thread's state under this `id`. Detailed runs only: "
    "those that were begun over `/langgraph`.",
    "token": "A piece of the answer.",
    "reasoning": "A piece of what the model thinks aloud, where the endpoint tells.",
    "tool_call": "A tool is called, by its name on its server. `decision` is there where a person decided.",
    "tool_progress": "A tool tells how far it is. `total` is null where nobody knows.",
    "tool_result": "`status` is ok, error, denied, timeout, unknown, or answered: by a person in its place.",
    "interrupt": "The turn pauses for a person. Further fields say what the person must see. "
    "Several come in the order of their calls.",
    "step": "A step of the graph has ended: its messages, and what it wrote to other channels. "
    "Detailed runs only.",
    "file": "A file was added to the thread.",
    "usage": "What one model call used. `cost` is null where no price is configured.",
    "notice": "Something that a person should know and that is no error.",
    "error": "The turn failed. This is the last event.",
    "done": "The turn ended, also when it was interrupted or cancelled. This is the last event.",
}


def page() -> str:
    """The events in the order in which a turn tells them."""
    rows = [(code(name), _fields(name), MEANING[name]) for name in VOCABULARY]
    last = " or ".join(code(name) for name in sorted(LAST))
    return document(
        "Stream events",
        "Every event is one JSON object with `seq` (1, 2, 3, …), `run_id` and `type`, and the fields of "
        "its type. "
        f"The last event of a run is {last}, and nothing follows it.",
        table(("type", "fields", "meaning"), rows),
    )


def _fields(name: str) -> str:
    return ", ".join(code(field) for field in sorted(VOCABULARY[name]))
