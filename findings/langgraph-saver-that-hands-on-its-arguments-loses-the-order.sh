#!/bin/sh
# langgraph 1.2.24 with langgraph-checkpoint 4.3.2: a saver that wraps another one and hands on whatever it is given
# (`async def aput_writes(self, *args, **kwargs)`), as wrappers for logs, metrics or retries do, loses the order of parallel work.
# langgraph looks at the signature for a parameter called `task_path` and gives the path only to savers that name it. A
# DeltaChannel is put together from the stored writes, and without paths these are sorted by random task ids: invoke answers in
# the order of the Sends, and whoever reads the thread a moment later, the next turn too, gets another order, without an error.
# Seen, eight Sends, three threads each: written out, invoke and get_state in order; handed on, invoke in order, get_state not.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q "langgraph==1.2.24" "langgraph-checkpoint==4.3.2" 2> /dev/null
cat > "$folder/order.py" <<'PY'
import asyncio
from typing import Annotated, Any, TypedDict

from langgraph.channels import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Send

WANTED = list(range(8))


def appended(state: list, writes: list) -> list:
    return [*state, *(item for write in writes for item in write)]


class State(TypedDict):
    found: Annotated[list, DeltaChannel(appended)]


class WrittenOut(InMemorySaver):
    async def aput_writes(self, config, writes, task_id, task_path="") -> None:
        await super().aput_writes(config, writes, task_id, task_path)


class HandedOn(InMemorySaver):
    async def aput_writes(self, *args: Any, **kwargs: Any) -> None:
        await super().aput_writes(*args, **kwargs)


async def in_order(saver: InMemorySaver) -> tuple[bool, bool]:
    graph = StateGraph(State)
    graph.add_node("work", lambda number: {"found": [number]})
    graph.add_conditional_edges(START, lambda _: [Send("work", number) for number in WANTED], ["work"])
    compiled = graph.compile(checkpointer=saver)
    config = {"configurable": {"thread_id": "t"}}
    answered = (await compiled.ainvoke({"found": []}, config))["found"]
    read = (await compiled.aget_state(config)).values["found"]
    assert sorted(read) == WANTED
    return answered == WANTED, read == WANTED


seen = {kind.__name__: {asyncio.run(in_order(kind())) for _ in range(3)} for kind in (WrittenOut, HandedOn)}
print(seen)
# By chance one of three may be in order: one in forty thousand.
raise SystemExit(seen != {"WrittenOut": {(True, True)}, "HandedOn": {(True, False)}})
PY
"$folder/env/bin/python" -W ignore "$folder/order.py"
