#!/bin/sh
# langgraph-swarm 0.1.0 and langgraph-supervisor 0.0.31 (langchain 1.5.2): a model that calls a tool and hands
# over in one answer. The tool runs; what it gave is not in the messages. In the swarm its call stays without a
# tool message, which providers of chat completions refuse at the next request; at the supervisor the whole
# answer with both calls is gone, so nothing tells that the tool ran, nor that there was a handoff.
# Who hands over that way takes one call an answer (parallel_tool_calls=False, where the provider knows it).
# Seen:  swarm       ran ['x'], called ['note', 'transfer'], answered ['transfer']
#        supervisor  ran ['x'], called ['back'], answered ['back']; alone: called ['transfer', 'back']
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
python3 -m venv "$here/env"
"$here/env/bin/pip" -q --disable-pip-version-check install langgraph-swarm==0.1.0 langgraph-supervisor==0.0.31 \
    langchain==1.5.2 langgraph==1.2.24 >/dev/null 2>&1
cat >"$here/hand_over.py" <<'PY'
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph_supervisor import create_supervisor
from langgraph_swarm import create_handoff_tool, create_swarm

ran = []


class Model(GenericFakeChatModel):
    def bind_tools(self, tools, **_):
        return self


@tool
def note(text: str) -> str:
    """Take a note."""
    ran.append(text)
    return "noted"


NOTE = {"name": "note", "args": {"text": "x"}, "id": "note"}
TRANSFER = {"name": "transfer_to_bob", "args": {}, "id": "transfer"}


def says(*answers):
    return Model(messages=iter(answers))


def told(kind, graph):
    ran.clear()
    messages = graph.compile().invoke({"messages": [("user", "hi")]})["messages"]
    back = {c["id"]: "back" for m in messages if m.type == "ai" for c in m.tool_calls if "_back_" in c["name"]}
    called = [back.get(c["id"], c["id"]) for m in messages if m.type == "ai" for c in m.tool_calls]
    answered = [back.get(m.tool_call_id, m.tool_call_id) for m in messages if m.type == "tool"]
    print(kind, ran, called, answered)


def bob():
    return create_agent(says(AIMessage("bob here")), [note], name="bob")


def swarm(*calls):
    hands = [note, create_handoff_tool(agent_name="bob", name="transfer_to_bob")]
    alice = create_agent(says(AIMessage("", tool_calls=list(calls))), hands, name="alice")
    return create_swarm([alice, bob()], default_active_agent="alice")


def supervisor(*calls):
    model = says(AIMessage("", tool_calls=list(calls)), AIMessage("end"))
    return create_supervisor([bob()], model=model, tools=[note])


told("swarm", swarm(NOTE, TRANSFER))
told("supervisor", supervisor(NOTE, TRANSFER))
told("alone", supervisor(TRANSFER))
PY
seen=$("$here/env/bin/python" -W ignore "$here/hand_over.py" 2>/dev/null)
printf '%s\n' "$seen"
test "$seen" = "swarm ['x'] ['note', 'transfer'] ['transfer']
supervisor ['x'] ['back'] ['back']
alone [] ['transfer', 'back'] ['transfer', 'back']"
