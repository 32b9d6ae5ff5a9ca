#!/bin/sh
# agent-framework-ag-ui 1.7.0 (agent-framework-core 1.23.0): AGUIChatClient, whose page promises "thread ID management for conversation
# continuity", makes up a new threadId for every request where none is given as metadata: not only for each turn of one
# session, but also for the request that brings the result of a tool within one turn. An AG-UI agent that keeps a conversation
# under its threadId gets a result that nobody asked for there, and a thread for each request. And when it says so with an HTTP
# error, its words are lost: the client reads the body of a stream that it has not read, and raises httpx's ResponseNotRead.
# An agent finds the run by the ids of the calls and the message they are for.
# Seen: two turns of one session with a tool each, four requests, four threads; a 409 with a message is ResponseNotRead.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check "agent-framework-ag-ui==1.7.0" "agent-framework-core==1.23.0" 2> /dev/null
cat > ask.py <<'PY'
import asyncio, json, logging, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from agent_framework import Agent
from agent_framework_ag_ui import AGUIChatClient

logging.disable(logging.CRITICAL)
asked = []


class Server(BaseHTTPRequestHandler):
    """An AG-UI agent that calls a tool of its client once. With `refuses` on, it has no such thread."""

    refuses = False

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked.append((body.get("thread_id") or body["threadId"], body["messages"][-1]["role"]))
        names = {"threadId": asked[-1][0], "runId": "r"}
        if asked[-1][1] != "tool":
            told = [
                {"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": "weather"},
                {"type": "TOOL_CALL_ARGS", "toolCallId": "c", "delta": '{"place": "Rome"}'},
                {"type": "TOOL_CALL_END", "toolCallId": "c"},
            ]
        else:
            told = [
                {"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "assistant"},
                {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "It rains."},
                {"type": "TEXT_MESSAGE_END", "messageId": "m"},
            ]
        events = [{"type": "RUN_STARTED", **names}, *told, {"type": "RUN_FINISHED", **names}]
        text = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        if self.refuses:
            text = '{"message": "no such thread"}'
        self.send_response(409 if self.refuses else 200)
        self.send_header("content-type", "application/json" if self.refuses else "text/event-stream")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


def weather(place: str) -> str:
    """The weather now."""
    return "rain"


async def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    async with AGUIChatClient(endpoint=f"http://127.0.0.1:{server.server_port}/") as client:
        agent = Agent(client=client, tools=[weather])
        session = agent.create_session()
        print("answers:", (await agent.run("How is it?", session=session)).text)
        await agent.run("And now?", session=session)
        threads = [thread for thread, _ in asked]
        print("ends in:", [role for _, role in asked], "threads:", len(set(threads)))
        Server.refuses = True
        try:
            await agent.run("Hello?", session=session)
        except Exception as error:
            print("refused:", type(error).__name__, "no such thread" in str(error))


asyncio.run(main())
PY
seen=$(NO_PROXY=127.0.0.1 env/bin/python -W ignore ask.py 2> /dev/null)
printf '%s\n' "$seen"
test "$seen" = "answers: It rains.
ends in: ['user', 'tool', 'user', 'tool'] threads: 4
refused: ResponseNotRead False"
