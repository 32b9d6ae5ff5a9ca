#!/bin/sh
# langgraph 1.2.22: a conditional edge behind parallel `Send` tasks is decided for each task when that task ends. Where
# one of two pauses in an interrupt(), the other has decided before the pause and the paused one decides after it. With a
# channel that is not stored (UntrackedValue) the two see different state and may choose different nodes: both run, in
# one super-step, although the branch function names exactly one and the two tasks belong to one step.
# Seen: ran after the two calls: answer and look_again. Needs no network beyond the package.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "langgraph==1.2.22"
cat > "$folder/ask.py" <<'PY'
import operator
from typing import Annotated

from langgraph.channels import UntrackedValue
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    done: Annotated[list[str], operator.add]
    options: Annotated[dict, UntrackedValue(dict)]


def look_up(state: State) -> dict:
    return {"options": {"model": "a"}}


def work(call: dict) -> dict:
    if call["asks"]:
        interrupt("may it run?")
    return {"done": [call["name"]]}


def fan_out(state: State) -> list[Send]:
    return [Send("work", {"name": "one", "asks": False}), Send("work", {"name": "two", "asks": True})]


def after_work(state: State) -> str:
    return "answer" if state.get("options") else "look_again"


graph = StateGraph(State)
graph.add_node("look_up", look_up)
graph.add_node("work", work)
graph.add_node("answer", lambda state: {"done": ["answer"]})
graph.add_node("look_again", lambda state: {"done": ["look_again"]})
graph.add_edge(START, "look_up")
graph.add_conditional_edges("look_up", fan_out, ["work"])
graph.add_conditional_edges("work", after_work, ["answer", "look_again"])
graph.add_edge("answer", END)
graph.add_edge("look_again", END)
app = graph.compile(checkpointer=InMemorySaver())
here = {"configurable": {"thread_id": "t"}}
app.invoke({"done": []}, here)
done = app.invoke(Command(resume=True), here)["done"]
print("ran after the two calls:", " and ".join(sorted(done[2:])))
raise SystemExit(0 if sorted(done[2:]) == ["answer", "look_again"] else 1)
PY
LANGSMITH_TRACING=false "$folder/env/bin/python" "$folder/ask.py"
