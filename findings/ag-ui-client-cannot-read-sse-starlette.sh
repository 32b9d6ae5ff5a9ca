#!/bin/sh
# @ag-ui/client 1.0.0 with sse-starlette 3.7.0: a stream of AG-UI events that EventSourceResponse writes is not read. Its
# lines end in CRLF, which is one of the three line ends of the format (and the only one that sse-starlette writes unless
# told otherwise); the client looks for two LF in a row, finds none before the end of the stream, and then takes the whole
# run for one event: a SyntaxError after the last byte and no message. While the run goes on, nothing at all arrives, so a
# long run looks like a server that is silent. The same events with sep="\n" are read.
# Seen: sep="\r\n" (the default): no message, "Unexpected non-whitespace character after JSON"; sep="\n": "Hello".
set -eu
folder=$(mktemp -d)
server=""
trap 'kill "$server" 2> /dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check "ag-ui-protocol==1.0.0" "sse-starlette==3.7.0" \
    "starlette==1.10.0" "uvicorn==0.54.0" 2> /dev/null
npm init -y > /dev/null
npm install --ignore-scripts --no-audit --no-fund --loglevel=error "@ag-ui/client@1.0.0" > /dev/null
cat > serve.py <<'PY'
import socket

import uvicorn
from ag_ui.core import RunFinishedEvent, RunStartedEvent
from ag_ui.core import TextMessageContentEvent, TextMessageEndEvent, TextMessageStartEvent
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.routing import Route


async def run(request):
    asked = await request.json()
    names = {"thread_id": asked["threadId"], "run_id": asked["runId"]}
    events = [
        RunStartedEvent(**names),
        TextMessageStartEvent(message_id="a", role="assistant"),
        TextMessageContentEvent(message_id="a", delta="Hello"),
        TextMessageEndEvent(message_id="a"),
        RunFinishedEvent(**names),
    ]

    async def stream():
        for event in events:
            yield {"data": event.model_dump_json(by_alias=True, exclude_none=True)}

    options = {"sep": "\n"} if request.url.path == "/lf" else {}
    return EventSourceResponse(stream(), **options)


app = Starlette(routes=[Route("/lf", run, methods=["POST"]), Route("/default", run, methods=["POST"])])
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])
PY
cat > ask.mjs <<'JS'
import { HttpAgent } from "@ag-ui/client";

console.error = () => {};
const said = {};
for (const path of ["default", "lf"]) {
  const agent = new HttpAgent({ url: `http://127.0.0.1:${process.argv[2]}/${path}` });
  agent.addMessage({ id: "u", role: "user", content: "hi" });
  try {
    await agent.runAgent();
    said[path] = agent.messages.slice(1).map((message) => message.content);
  } catch (error) {
    said[path] = `${error.name}: ${error.message} (${agent.messages.length - 1} messages)`;
  }
}
console.log(JSON.stringify(said));
const refused = /^SyntaxError: Unexpected non-whitespace character after JSON.*\(0 messages\)$/.test(said.default);
if (!refused || JSON.stringify(said.lf) !== '["Hello"]') process.exit(1);
JS
env/bin/python serve.py > port &
server=$!
for _ in $(seq 300); do
    [ -s port ] && break
    sleep 0.1
done
for _ in $(seq 300); do
    curl -s -o /dev/null "http://127.0.0.1:$(cat port)/" && break
    sleep 0.1
done
node ask.mjs "$(cat port)"
