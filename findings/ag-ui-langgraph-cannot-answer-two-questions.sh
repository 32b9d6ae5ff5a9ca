#!/bin/sh
# ag-ui-langgraph 0.0.47 with langgraph 1.2.24: two branches of a graph that pause at once are told as AG-UI has it,
# RUN_FINISHED with an outcome of two interrupts, and can then not be answered as AG-UI has it. The adapter folds the
# entries of `resume` into one value for Command(resume=...); langgraph takes one value only where one question is open, and
# wants a value per id where there are two. So answers to both, an answer to one, and a cancellation of both each end in
# RUN_ERROR, and the thread can go neither on nor back. One question at a time works; the ids that langgraph asks for are
# the ones that the adapter has just sent out. The old way, forwardedProps.command.resume as {id: value}, works.
# Seen: both, one, cancelled: RUN_ERROR "When there are multiple pending interrupts, you must specify the interrupt id";
# the old way: RUN_FINISHED, and the messages one=yes and two=yes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "ag-ui-langgraph==0.0.47" "ag-ui-protocol==1.0.0" \
    "langgraph==1.2.24" "langchain==1.5.2" "langchain-core==1.8.3" "fastapi==0.165.0" 2> /dev/null
cat > "$folder/answer.py" <<'PY'
import asyncio
import logging

from ag_ui.core import RunAgentInput
from ag_ui_langgraph import LangGraphAgent
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Send, interrupt

logging.disable(logging.CRITICAL)


async def ask(call: dict) -> dict:
    return {"messages": [AIMessage(f"{call['name']}={interrupt('may ' + call['name'] + ' run?')}")]}


def fan_out(state: MessagesState) -> list[Send]:
    return [Send("ask", {"name": name}) for name in state["messages"][-1].content.split()]


builder = StateGraph(MessagesState).add_node("ask", ask).add_edge("ask", END)
graph = builder.add_conditional_edges(START, fan_out, ["ask"]).compile(checkpointer=InMemorySaver())
adapter = LangGraphAgent(name="a", graph=graph, emit_interrupt_outcome=True)


async def run(thread: str, words: str, **more) -> tuple[list, str]:
    """The ids that the run asks about at its end, and its end."""
    told = {"state": {}, "tools": [], "context": [], "forwardedProps": {}, **more}
    said = {"id": f"u-{thread}", "role": "user", "content": words}
    request = RunAgentInput(threadId=thread, runId="r", messages=[said], **told)
    last = [event async for event in adapter.clone().run(request) if event.type.startswith("RUN_")][-1]
    questions = last.outcome.interrupts if getattr(last, "outcome", None) else []
    return [one.id for one in questions], getattr(last, "message", None) or last.type.value


def yes(*ids: str) -> dict:
    return {"resume": [{"interruptId": one, "status": "resolved", "payload": "yes"} for one in ids]}


async def main() -> dict:
    found = {}
    ways = {
        "both": yes,
        "one": lambda first, second: yes(first),
        "cancelled": lambda *ids: {"resume": [{"interruptId": one, "status": "cancelled"} for one in ids]},
        "old way": lambda *ids: {"forwardedProps": {"command": {"resume": dict.fromkeys(ids, "yes")}}},
    }
    for thread, answers in ways.items():
        asked, _ = await run(thread, "one two")
        assert len(asked) == 2, asked
        found[thread] = (await run(thread, "one two", **answers(*asked)))[1]
    alone, _ = await run("alone", "one")
    found["a single question"] = (await run("alone", "one", **yes(*alone)))[1]
    stored = await graph.aget_state({"configurable": {"thread_id": "old way"}})
    found["stored by the old way"] = sorted(message.content for message in stored.values["messages"][1:])
    return found


found = asyncio.run(main())
for name, end in found.items():
    print(f"{name}: {end}")
refused = "When there are multiple pending interrupts, you must specify the interrupt id"
assert all(found[way].startswith(refused) for way in ("both", "one", "cancelled")), found
assert found["old way"] == found["a single question"] == "RUN_FINISHED", found
assert found["stored by the old way"] == ["one=yes", "two=yes"], found
PY
LANGSMITH_TRACING=false "$folder/env/bin/python" -W ignore "$folder/answer.py"
