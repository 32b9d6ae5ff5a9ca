#!/bin/sh
# langchain-core 1.8.3 with langgraph 1.2.24: a chat model with a cache gives the answer that it keeps with the id of the run
# that made it, and a message whose id is in the thread already takes that one's place (add_messages). So a node that asks the
# model about the last message only (a router, an answer from a list of common questions, a short memory) answers a question
# that comes again in one thread with nothing: the model gave "a1", the state ends with the question, and a page that shows
# the last message shows the user's own words. In another thread, and without a cache, the same question is answered.
# A node whose answer comes from a cache gives it an id of its own: answer.model_copy(update={"id": None}).
# Seen:  with a cache     human, ai a1, human, ai a2, human
#        with a new id    human, ai a1, human, ai a2, human, ai a1
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "langgraph==1.2.24" "langgraph-checkpoint==4.3.2" \
    "langchain-core==1.8.3" 2> /dev/null
cat > "$folder/ask.py" <<'PY'
from langchain_core.caches import InMemoryCache
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph


def thread(cache: object, anew: bool = False) -> tuple[list[str], list[str]]:
    """What the model gave, and what the thread has."""
    model, gave = FakeListChatModel(responses=["a1", "a2", "a3"], cache=cache), []

    def answer(state: MessagesState) -> dict:
        found = model.invoke(state["messages"][-1:])
        gave.append(found.content)
        return {"messages": [found.model_copy(update={"id": None}) if anew else found]}

    builder = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer")
    app, here = builder.compile(checkpointer=InMemorySaver()), {"configurable": {"thread_id": "t"}}
    for question in ("opening hours?", "address?", "opening hours?"):
        has = app.invoke({"messages": [("user", question)]}, here)["messages"]
    return gave, [one.content if one.type == "ai" else "?" for one in has]


found = {
    "with a cache": thread(InMemoryCache()),
    "with a new id": thread(InMemoryCache(), anew=True),
    "without a cache": thread(False),
}
for kind, (gave, has) in found.items():
    print(f"{kind:16} gave {gave}, has {has}")
assert found == {
    "with a cache": (["a1", "a2", "a1"], ["?", "a1", "?", "a2", "?"]),
    "with a new id": (["a1", "a2", "a1"], ["?", "a1", "?", "a2", "?", "a1"]),
    "without a cache": (["a1", "a2", "a3"], ["?", "a1", "?", "a2", "?", "a3"]),
}, found
PY
LANGSMITH_TRACING=false "$folder/env/bin/python" "$folder/ask.py"
