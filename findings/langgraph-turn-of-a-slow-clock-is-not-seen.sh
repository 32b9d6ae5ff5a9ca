#!/bin/sh
# langgraph 1.2.24 with langgraph-checkpoint-sqlite 3.1.2 (the PostgreSQL saver asks likewise): the newest checkpoint
# of a thread is the one with the greatest id, and ids begin with the clock of the host that made them. A turn
# on a host whose clock is 30 seconds behind is answered, stored, and seen by nobody: the state and the next
# turn begin behind the turn before it, until that host's clock has caught up with the other's ids.
# Several hosts on one database need ids that follow those that are there, whatever their clocks say.
# Seen:  answered at the slow host  ['one', 'two']
#        state, there and here      ['one'], ['one']; next turn ['one', 'three']
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
python3 -m venv "$here/env"
"$here/env/bin/pip" -q --disable-pip-version-check install langgraph==1.2.24 langgraph-checkpoint-sqlite==3.1.2 \
    >/dev/null 2>&1
cat >"$here/turn.py" <<'PY'
import sys
import time

path, behind, said = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
# The host's clock, as a host without NTP has it.
now, now_ns = time.time, time.time_ns
time.time = lambda: now() - behind
time.time_ns = lambda: now_ns() - int(behind * 1e9)

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph

builder = StateGraph(MessagesState)
builder.add_node("hear", lambda state: {})
builder.add_edge(START, "hear")
thread = {"configurable": {"thread_id": "t"}}
with SqliteSaver.from_conn_string(path) as saver:
    graph = builder.compile(checkpointer=saver)
    for each in said:
        print("answered", [m.content for m in graph.invoke({"messages": [("user", each)]}, thread)["messages"]])
    print("state", [m.content for m in graph.get_state(thread).values["messages"]])
PY
turn() { "$here/env/bin/python" "$here/turn.py" "$here/db" "$@"; }
seen=$(turn 0 one && turn 30 two && turn 0 && turn 0 three)
printf '%s\n' "$seen"
test "$seen" = "answered ['one']
state ['one']
answered ['one', 'two']
state ['one']
state ['one']
answered ['one', 'three']
state ['one', 'three']"
