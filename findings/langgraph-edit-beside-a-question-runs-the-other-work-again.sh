#!/bin/sh
# langgraph 1.2.24: one branch waits in an interrupt(), the branch beside it is done (its result stands in get_state's tasks).
# Whoever edits the draft meanwhile with update_state, as for an approval with changes, makes a new checkpoint, and what
# stood beside the old one is not taken over: the finished branch is due again and runs a second time at the answer (a
# card charged twice, with one line in the state). The question is gone too: get_state names both nodes and no
# interrupt, so a page that lists what waits is empty, while a bare Command(resume="yes") is still taken, for a question
# about the new draft that nobody was asked. An answer by the old question's id runs the other branch as well and asks.
# Command(resume=..., update={...}), the edit together with the answer, keeps the finished work.
# Seen:  update_state, then resume   interrupts 1 then 0; charged 2 times, log ['yes to two', 'charged']
#        resume with update          interrupts 1; charged 1 time, log ['yes to two', 'charged']
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "langgraph==1.2.24" "langgraph-checkpoint==4.3.2" \
    "langchain-core==1.8.3" 2> /dev/null
cat > "$folder/edit.py" <<'PY'
import operator
from typing import Annotated

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    draft: str
    log: Annotated[list[str], operator.add]


here, ran = {"configurable": {"thread_id": "t"}}, []


def approve(state: State) -> dict:
    answer = interrupt(f"send {state['draft']}?")
    return {"log": [f"{answer} to {state['draft']}"]}


def charge(state: State) -> dict:
    ran.append("charged")
    return {"log": ["charged"]}


def paused():
    """A thread whose one branch waits and whose other is done, and the id of its question."""
    ran.clear()
    builder = StateGraph(State).add_node("approve", approve).add_node("charge", charge)
    app = builder.add_edge(START, "approve").add_edge(START, "charge").compile(checkpointer=InMemorySaver())
    (question,) = app.invoke({"draft": "one"}, here)["__interrupt__"]
    state = app.get_state(here)
    assert state.next == ("approve",) and len(state.interrupts) == 1 and ran == ["charged"]
    return app, question.id


app, _ = paused()
app.update_state(here, {"draft": "two"})
edited = app.get_state(here)
end = app.invoke(Command(resume="yes"), here)
print("update_state, then resume", edited.next, edited.interrupts, end["log"], len(ran))
assert (edited.next, edited.interrupts) == (("approve", "charge"), ()), edited
assert (end["log"], len(ran)) == (["yes to two", "charged"], 2), (end, ran)

app, question = paused()
app.update_state(here, {"draft": "two"})
end = app.invoke(Command(resume={question: "yes"}), here)
print("update_state, then by id", end["log"], end["__interrupt__"][0].value, len(ran))
assert end["__interrupt__"][0].value == "send two?" and len(ran) == 2, (end, ran)

app, question = paused()
end = app.invoke(Command(resume={question: "yes"}, update={"draft": "two"}), here)
print("resume with update", end["log"], len(ran))
assert (end["log"], len(ran)) == (["yes to two", "charged"], 1), (end, ran)
PY
LANGSMITH_TRACING=false "$folder/env/bin/python" "$folder/edit.py"
