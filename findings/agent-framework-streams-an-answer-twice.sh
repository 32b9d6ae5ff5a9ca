#!/bin/sh
# agent-framework-openai 1.17.0 (agent-framework-core 1.23.0): who prints the updates of a stream as Agent's documentation shows it,
# `async for update in stream: print(update.text, end="")`, prints each answer twice. The Responses API says a text in pieces
# and once more whole (response.output_text.done); the client hands that on as one more update whose text is to replace the
# pieces, which only its content's merge_mode tells. The final response is put together rightly, so what is stored is right and
# what the user saw is not. OpenAIChatCompletionClient has no such event.
# Seen: printed "It rains.It rains.", final "It rains.".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check "agent-framework-openai==1.17.0" "agent-framework-core==1.23.0" 2> /dev/null
cat > ask.py <<'PY'
import asyncio, json, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from agent_framework import Agent
from agent_framework.openai import OpenAIChatClient

ITEM = {"id": "m", "type": "message", "role": "assistant", "status": "completed"}


def part(text):
    return {"type": "output_text", "text": text, "annotations": []}


def response(status, output):
    known = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "tools": [], "tool_choice": "auto"}
    return {**known, "parallel_tool_calls": True, "status": status, "output": output}


def events():
    """A stream of the Responses API, as OpenAI documents it: pieces, then the same text once more, whole."""
    where = {"item_id": "m", "output_index": 0, "content_index": 0}
    yield {"type": "response.created", "response": response("in_progress", [])}
    yield {"type": "response.output_item.added", "output_index": 0, "item": {**ITEM, "status": "in_progress", "content": []}}
    yield {"type": "response.content_part.added", **where, "part": part("")}
    for delta in ("It ", "rains."):
        yield {"type": "response.output_text.delta", **where, "delta": delta, "logprobs": []}
    yield {"type": "response.output_text.done", **where, "text": "It rains.", "logprobs": []}
    yield {"type": "response.content_part.done", **where, "part": part("It rains.")}
    done = {**ITEM, "content": [part("It rains.")]}
    yield {"type": "response.output_item.done", "output_index": 0, "item": done}
    yield {"type": "response.completed", "response": response("completed", [done])}


class Model(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        lines = [json.dumps({**event, "sequence_number": number}) for number, event in enumerate(events())]
        body = "".join(f"data: {line}\n\n" for line in lines).encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


async def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    stream = Agent(client=OpenAIChatClient(model="m", base_url=url, api_key="none")).run("How is it?", stream=True)
    printed = ""
    async for update in stream:  # as Agent's documentation has it
        printed += update.text
    print("printed", repr(printed))
    print("final  ", repr((await stream.get_final_response()).text))


asyncio.run(main())
PY
seen=$(NO_PROXY=127.0.0.1 env/bin/python -W ignore ask.py 2> /dev/null)
printf '%s\n' "$seen"
test "$seen" = "printed 'It rains.It rains.'
final   'It rains.'"
