#!/bin/sh
# langgraph 1.2.24: a node that asks twice, one interrupt() behind the other. Each question has an id of its own, and an
# answer can name it, Command(resume={id: answer}), which looks safe to be sent again when a connection was cut. It is not
# for the first question of a task: its id is taken for each later one too (older versions knew no other ids), so the "yes"
# that is sent once more, or that a second tab sends, answers what nobody has read yet. The ids of later questions are
# not taken again: then the node asks anew. Nothing is raised either way.
# Who serves answers holds their ids against those of get_state(...).interrupts, under a lock, before resuming.
# Seen:  first again   asked 'send the draft?', yes; the same once more: done, ['yes', 'yes'], 'delete the account?' unread
#        second again  asked 'delete the account?', yes; the same once more: asked 'close the books?'
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "langgraph==1.2.24" "langgraph-checkpoint==4.3.2" \
    "langchain-core==1.8.3" 2> /dev/null
cat > "$folder/again.py" <<'PY'
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    answers: list[str]


def thread(*questions: str):
    def ask(state: State) -> dict:
        return {"answers": [interrupt(question) for question in questions]}

    app = StateGraph(State).add_node("ask", ask).add_edge(START, "ask").compile(checkpointer=InMemorySaver())
    here = {"configurable": {"thread_id": "t"}}

    def go_on(given) -> tuple:
        """What is asked next with its id, or what the thread has at its end."""
        found = app.invoke(given, here)
        asked = found.get("__interrupt__")
        return (asked[0].value, asked[0].id) if asked else (found["answers"], None)

    return go_on


go_on = thread("send the draft?", "delete the account?")
question, first = go_on({})
assert question == "send the draft?"
question, second = go_on(Command(resume={first: "yes"}))
assert question == "delete the account?" and second != first, (question, first, second)
end = go_on(Command(resume={first: "yes"}))  # the same answer once more, to the question that it names
print("first again ", end)
assert end == (["yes", "yes"], None), end

go_on = thread("send the draft?", "delete the account?", "close the books?")
_, first = go_on({})
_, second = go_on(Command(resume={first: "yes"}))
question, third = go_on(Command(resume={second: "yes"}))
assert question == "close the books?"
again = go_on(Command(resume={second: "yes"}))
print("second again", again)
assert again == ("close the books?", third), again
PY
LANGSMITH_TRACING=false "$folder/env/bin/python" "$folder/again.py"
