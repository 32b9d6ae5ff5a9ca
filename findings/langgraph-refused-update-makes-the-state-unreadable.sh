#!/bin/sh
# langgraph 1.2.24: two branches of one step write a key that takes one value, and the run ends as documented with
# InvalidUpdateError. What the branches wrote stays beside the checkpoint, and whoever asks for the thread's state puts it
# together anew: get_state raises the same error, as if reading were a run, so a page that shows threads breaks with the
# run. Going on (invoke(None)) raises it too, also after the graph was mended, since the branches are not run again. A
# message reducer that refuses (two branches that remove one message) does the same. get_state_history reads the thread
# all the time; the next message takes the thread out of it.
# Seen, both ways: run 2 fails; with the graph mended get_state and invoke(None) raise the error of run 2, history gives
# six states, run 3 is answered, and get_state works again.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "langgraph==1.2.24" "langgraph-checkpoint==4.3.2" \
    "langchain-core==1.8.3" 2> /dev/null
cat > "$folder/read.py" <<'PY'
from langchain_core.messages import AIMessage, RemoveMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph


class State(MessagesState):
    note: str


def wrote(state: State) -> dict:
    return {"note": "mine"}


def shorten(state: State) -> dict:
    return {"messages": [RemoveMessage(message.id) for message in state["messages"][:-1]]}


def tried(call) -> str:
    try:
        return call()
    except Exception as error:  # what is raised is what is looked for
        return type(error).__name__


def thread(branch) -> dict[str, str]:
    faulty = False
    step = lambda state: branch(state) if faulty else {}  # noqa: E731
    builder = StateGraph(State).add_node("left", step).add_node("right", step)
    builder.add_node("answer", lambda state: {"messages": [AIMessage("done")]})
    builder.add_edge(START, "left").add_edge(START, "right").add_edge(["left", "right"], "answer")
    app = builder.add_edge("answer", END).compile(checkpointer=InMemorySaver())
    here = {"configurable": {"thread_id": "t"}}

    def say(*words: str) -> str:
        given = {"messages": [("user", word) for word in words]} if words else None
        return " ".join(message.content for message in app.invoke(given, here)["messages"])

    found = {"run 1": tried(lambda: say("one"))}
    faulty = True
    found["run 2"] = tried(lambda: say("two"))
    faulty = False
    found["get_state"] = tried(lambda: str(len(app.get_state(here).values["messages"])))
    found["history"] = tried(lambda: str(len(list(app.get_state_history(here)))))
    found["invoke(None)"] = tried(say)
    found["run 3"] = tried(lambda: say("three"))
    found["get_state after it"] = tried(lambda: str(len(app.get_state(here).values["messages"])))
    return found


for branch, error in ((wrote, "InvalidUpdateError"), (shorten, "ValueError")):
    found = thread(branch)
    print(branch.__name__, found)
    assert found == {
        "run 1": "one done",
        "run 2": error,
        "get_state": error,
        "history": "6",
        "invoke(None)": error,
        "run 3": "one done two three done",
        "get_state after it": "5",
    }, found
PY
LANGSMITH_TRACING=false "$folder/env/bin/python" "$folder/read.py"
