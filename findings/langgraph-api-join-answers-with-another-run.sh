#!/bin/sh
# langgraph-api 0.16.7 (langgraph dev) with langgraph-sdk 0.4.14: runs.join(thread, run) of a run that has ended answers with
# what the thread holds now and not with what that run gave. Directly after a failed run that is its error; once another
# run of the thread has succeeded, join of the failed run is that run's answer, without an error, and join of an earlier
# good run is the later answer. So a worker that queues questions on one thread and collects each by its run's id files
# the last answer under every id. Only runs.get says "error", and nothing tells what a run that has ended had answered.
# Seen: join(failed) is {"__error__": ...}, then, after a second run, {"answer": "answer to second"}; status error.
set -eu
folder=$(mktemp -d)
server=""
trap 'kill "$server" 2> /dev/null || true; wait "$server" 2> /dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check "langgraph-cli[inmem]==0.4.40" "langgraph-api==0.16.7" \
    "langgraph-runtime-inmem==0.36.7" "langgraph-sdk==0.4.14" "langgraph==1.2.22" 2> /dev/null
cat > graph.py <<'PY'
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    question: str
    answer: str


async def reply(state: State) -> dict:
    if state["question"] == "broken":
        raise ValueError("no answer to that")
    return {"answer": f"answer to {state['question']}"}


graph = StateGraph(State).add_node("reply", reply).add_edge(START, "reply").add_edge("reply", END).compile()
PY
echo '{"dependencies": ["."], "graphs": {"g": "./graph.py:graph"}}' > langgraph.json
cat > ask.py <<'PY'
import asyncio
import sys

from langgraph_sdk import get_client

client = get_client(url=sys.argv[1])


async def run(thread: str, question: str) -> str:
    begun = await client.runs.create(thread, "g", input={"question": question})
    while (await client.runs.get(thread, begun["run_id"]))["status"] in ("pending", "running"):
        await asyncio.sleep(0.1)
    return begun["run_id"]


async def main() -> list:
    thread = (await client.threads.create())["thread_id"]
    first, failed = await run(thread, "first"), await run(thread, "broken")
    at_once = await client.runs.join(thread, failed)
    await run(thread, "second")
    later = [(await client.runs.join(thread, one))["answer"] for one in (failed, first)]
    return [at_once.get("__error__", {}).get("error"), *later, (await client.runs.get(thread, failed))["status"]]


found = asyncio.run(main())
print(found)
assert found == ["ValueError", "answer to second", "answer to second", "error"], found
PY
port=38472
LANGGRAPH_CLI_NO_ANALYTICS=1 LANGGRAPH_NO_VERSION_CHECK=1 LANGSMITH_TRACING=false PATH="$folder/env/bin:$PATH" \
    env/bin/langgraph dev --no-browser --no-reload --host 127.0.0.1 --port "$port" > server.log 2>&1 &
server=$!
for _ in $(seq 600); do
    curl -sf -o /dev/null "http://127.0.0.1:$port/ok" && break
    sleep 0.2
done
env/bin/python ask.py "http://127.0.0.1:$port"
