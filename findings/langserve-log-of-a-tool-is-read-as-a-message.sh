#!/bin/sh
# langserve 0.3.3 with langchain-core 1.7.2: stream_log of a chain that calls one of LangChain's own tools cannot be read by
# langserve's own client. An entry of the log is a JSON object with `type`, the kind of run: "tool". The client tries each
# object as one of LangChain's objects, takes that one for a ToolMessage, and its constructor asks for `tool_call_id`: a
# KeyError out of astream_log, in mid-stream, for a chain that is right. invoke of the same chain, and stream_log read as
# plain lines, work: with a run of another kind there is no trouble.
# Seen: invoke gives 8; astream_log raises KeyError: 'tool_call_id'.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q "langserve==0.3.3" "langchain-core==1.7.2" "fastapi==0.165.0" "uvicorn==0.54.0" \
    "sse-starlette==3.7.0" "httpx==0.28.1" "httpx-sse" "pydantic==2.14.3" "orjson" 2> /dev/null
cat > log.py <<'PY'
import asyncio
import socket
import threading
import time

import uvicorn
from fastapi import FastAPI
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langserve import RemoteRunnable, add_routes


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


async def summed(number: int) -> int:
    return await add.ainvoke({"a": number, "b": 3})


app = FastAPI()
add_routes(app, RunnableLambda(summed).with_types(input_type=int, output_type=int), path="/sum")
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()
while not server.started:
    time.sleep(0.05)
remote = RemoteRunnable(f"http://127.0.0.1:{listener.getsockname()[1]}/sum")


async def read() -> str:
    try:
        async for _ in remote.astream_log(5):
            pass
    except KeyError as error:
        return f"KeyError: {error}"
    return "read whole"


answer, seen = remote.invoke(5), asyncio.run(read())
server.should_exit = True
print("invoke", answer, "| astream_log", seen)
raise SystemExit(answer != 8 or seen != "KeyError: 'tool_call_id'")
PY
venv/bin/python -W ignore log.py
