#!/bin/sh
# langgraph 1.2.24: what RetryPolicy() retries unless told otherwise is decided by kinds of Python errors, and of HTTP
# clients it knows httpx and requests, of whose answers it means to retry 5xx only. So a wrong key and a request that is
# refused are sent again when the client is openai's (3.57.0, whose own retries would not), and so is every 404 of requests
# (2.34.2): the policy asks whether there is a response with `if response`, which is false for an answer of 400 and more.
# What would be worth another try is not: TimeoutError, as asyncio.timeout raises it, and an aiohttp (3.14.5) connection
# that was refused are OSErrors, and those are left out. A node has to name what it wants retried.
# Seen, attempts of three: openai 401 3, openai 400 3, requests 404 3, httpx 404 1; TimeoutError 1, refused: aiohttp 1,
# httpx 3.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "langgraph==1.2.24" "openai==3.57.0" "requests==2.34.2" \
    "aiohttp==3.14.5" "httpx==0.28.1" 2> /dev/null
cat > "$folder/retry.py" <<'PY'
import asyncio
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TypedDict

import aiohttp
import httpx
import openai
import requests
from langgraph.graph import START, StateGraph
from langgraph.types import RetryPolicy


class Refuses(BaseHTTPRequestHandler):
    def answer(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Refuses)
threading.Thread(target=server.serve_forever, daemon=True).start()
here = f"http://127.0.0.1:{server.server_port}"
with socket.socket() as taken:
    taken.bind(("127.0.0.1", 0))
    nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"


async def model(status):
    client = openai.AsyncOpenAI(base_url=f"{here}/{status}", api_key="k", max_retries=0)
    await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])


async def by_requests():
    requests.get(f"{here}/404").raise_for_status()


async def by_httpx(url):
    async with httpx.AsyncClient() as client:
        (await client.get(url)).raise_for_status()


async def late():
    async with asyncio.timeout(0.01):
        await asyncio.Event().wait()


async def by_aiohttp():
    async with aiohttp.ClientSession() as session:
        await session.get(nobody)


class State(TypedDict):
    text: str


async def attempts(call):
    made = 0

    async def node(state):
        nonlocal made
        made += 1
        await call()

    builder = StateGraph(State)
    builder.add_node("node", node, retry_policy=RetryPolicy(max_attempts=3, initial_interval=0.01))
    builder.add_edge(START, "node")
    try:
        await builder.compile().ainvoke({"text": "hi"})
    except Exception:
        return made


CALLS = {
    "openai 401": lambda: model(401),
    "openai 400": lambda: model(400),
    "requests 404": by_requests,
    "httpx 404": lambda: by_httpx(f"{here}/404"),
    "TimeoutError": late,
    "aiohttp refused": by_aiohttp,
    "httpx refused": lambda: by_httpx(nobody),
}
seen = {name: asyncio.run(attempts(call)) for name, call in CALLS.items()}
print(seen)
assert list(seen.values()) == [3, 3, 3, 1, 1, 1, 3], seen
PY
"$folder/env/bin/python" -W ignore "$folder/retry.py"
