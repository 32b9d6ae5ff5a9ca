#!/bin/sh
# ag-ui-langgraph 0.0.47 (langgraph 1.2.24): a graph that waits for two approvals at once. With
# emit_interrupt_outcome=True the outcome of RUN_FINISHED names both by their ids, and a resume[] that answers both
# by those ids is RUN_ERROR, "you must specify the interrupt id": the answers are put under a key of its own,
# which LangGraph takes for one answer. Command(resume={id: answer, ...}) at the same graph goes on.
# A message that is sent meanwhile ends with RUN_FINISHED and is in no state: dropped without a word.
# Seen:  asked     the outcome names the ids of the state: True
#        message   RUN_FINISHED; messages in the state before and behind: 2, 2
#        answered  RUN_ERROR, specify the interrupt id: True; nothing said
#        directly  ['pay: yes', 'send: yes']
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
python3 -m venv "$here/env"
"$here/env/bin/pip" -q --disable-pip-version-check install ag-ui-langgraph==0.0.47 langgraph==1.2.24 langchain==1.5.2 \
    langchain-core==1.8.3 ag-ui-protocol==1.0.0 fastapi >/dev/null 2>&1
cat >"$here/ask.py" <<'PY'
import asyncio

from ag_ui.core import ResumeEntry, RunAgentInput, UserMessage
from ag_ui_langgraph import LangGraphAgent
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

THREAD = {"configurable": {"thread_id": "t"}}


def asks(question):
    return lambda state: {"messages": [("ai", f"{question}: {interrupt(question)}")]}


def graph():
    builder = StateGraph(MessagesState)
    builder.add_node("hello", lambda state: {"messages": [("ai", "hello")]})
    builder.add_edge(START, "hello")
    for question in ("pay", "send"):
        builder.add_node(question, asks(question))
        builder.add_edge("hello", question)
    return builder.compile(checkpointer=InMemorySaver())


async def events(agent, text, **more):
    message = UserMessage(id=text, role="user", content=text)
    given = {"thread_id": "t", "run_id": text, "state": {}, "messages": [message], "tools": [], "context": []}
    run = RunAgentInput(**given, **{"forwarded_props": {}, **more})
    told = [event async for event in agent.run(run)]
    return [event.model_dump(mode="json") for event in told if event.type.value != "RAW"]


def said(agent):
    return [m.content for m in agent.graph.get_state(THREAD).values["messages"]]


async def main():
    agent = LangGraphAgent(name="x", graph=graph(), emit_interrupt_outcome=True)
    outcome = (await events(agent, "hi"))[-1]["outcome"]
    ids = [each["id"] for each in outcome["interrupts"]]
    print("asked", ids == [i.id for task in agent.graph.get_state(THREAD).tasks for i in task.interrupts])
    before = len(said(agent))
    print("message", (await events(agent, "and another thing"))[-1]["type"], before, len(said(agent)))
    answers = [ResumeEntry(interrupt_id=each, status="resolved", payload="yes") for each in ids]
    last = (await events(agent, "hi", resume=answers))[-1]
    print("answered", last["type"], "specify the interrupt id" in last.get("message", ""), said(agent)[2:])
    agent.graph.invoke(Command(resume=dict.fromkeys(ids, "yes")), THREAD)
    print("directly", sorted(said(agent)[2:]))


asyncio.run(main())
PY
seen=$("$here/env/bin/python" -W ignore "$here/ask.py" 2>/dev/null)
printf '%s\n' "$seen"
test "$seen" = "asked True
message RUN_FINISHED 2 2
answered RUN_ERROR True []
directly ['pay: yes', 'send: yes']"
