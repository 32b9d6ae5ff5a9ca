#!/bin/sh
# langgraph 1.2.24: a subgraph with a memory of its own (checkpointer=True), as of an assistant that others ask. Whoever
# goes back to an earlier checkpoint and sends another message there, as a page does that lets its user edit a question,
# gets the parent's state as it was, and the subgraph's as it is now: it knows what was said in the turns that the edit took
# back. The subgraph's state is looked up as it was before the checkpoint that the run goes on from, and with new input that
# is the one just made for the input: everything was before it. An edit by update_state that is gone on with by invoke(None)
# takes the subgraph back as well. No error, and nothing in the parent's state or history tells the two apart.
# Seen, turns a, b, c, then back to the end of a: with the input "B" the subgraph holds a b c B; by update_state a B.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "langgraph==1.2.24" 2> /dev/null
cat > "$folder/fork.py" <<'PY'
import operator
from typing import Annotated

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict


class Memory(TypedDict):
    heard: Annotated[list[str], operator.add]


class Talk(TypedDict):
    said: str
    known: list[str]


def one_node(state, name, node, saver):
    return StateGraph(state).add_node(name, node).add_edge(START, name).compile(checkpointer=saver)


def talked():
    assistant = one_node(Memory, "listen", lambda state: {}, True)

    def ask(state: Talk):
        return {"known": assistant.invoke({"heard": [state["said"]]})["heard"]}

    graph, thread = one_node(Talk, "ask", ask, InMemorySaver()), {"configurable": {"thread_id": "t"}}
    for said in "abc":
        graph.invoke({"said": said}, thread)
    [end_of_a] = [s for s in graph.get_state_history(thread) if s.values.get("said") == "a" and not s.next]
    assert end_of_a.values == {"said": "a", "known": ["a"]}
    return graph, end_of_a.config


graph, back = talked()
sent = graph.invoke({"said": "B"}, back)
graph, back = talked()
edited = graph.invoke(None, graph.update_state(back, {"said": "B"}, as_node="__start__"))
print("input", *sent["known"], "| update_state", *edited["known"])
assert sent["known"] == ["a", "b", "c", "B"], sent
assert edited["known"] == ["a", "B"], edited
PY
"$folder/env/bin/python" -W ignore "$folder/fork.py"
