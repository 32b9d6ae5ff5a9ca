#!/bin/sh
# google-adk 2.13.0 with a2a-sdk 1.3.0: of an answer that another agent sends in pieces, RemoteA2aAgent keeps the last piece alone. A2A
# lets an artifact come as pieces with append, of which the last says lastChunk; ADK tells the pieces as partial events and the
# last piece as the whole answer, which takes their place on the page and is all that its session has. So the user sees the
# answer vanish at its end, and the next turn of the other agents of the house knows its last word. Agents that
# were made with ADK itself send the whole once more with the last piece, so between these all is right.
# Who is asked by ADK sends the whole answer as the last piece, without append: by the protocol it takes the place of the rest.
# Seen, "It ", "is ", "8.": the session has "8.".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check "google-adk[a2a]==2.13.0" "a2a-sdk==1.3.0" 2> /dev/null
cat > ask.py <<'PY'
import asyncio, json, logging, threading, warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

from google.adk.agents.remote_a2a_agent import RemoteA2aAgent
from google.adk.runners import InMemoryRunner
from google.genai import types

PIECES = ["It ", "is ", "8."]


class Agent(BaseHTTPRequestHandler):
    """An A2A 1.0 agent that streams an artifact in three pieces, of which the last says so."""

    def log_message(self, *_):
        pass

    def send(self, body, media):
        self.send_response(200)
        self.send_header("content-type", media)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        url = f"http://127.0.0.1:{self.server.server_port}/"
        card = {
            "name": "a", "description": "a", "version": "1", "skills": [],
            "supportedInterfaces": [{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
            "capabilities": {"streaming": True},
            "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
        }
        self.send(json.dumps(card).encode(), "application/json")

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        names = {"taskId": "t", "contextId": "c"}
        results = [{"task": {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}}]
        for place, text in enumerate(PIECES):
            told = {"artifact": {"artifactId": "a", "parts": [{"text": text}]}}
            told |= {"append": place > 0, "lastChunk": place == 2}
            results.append({"artifactUpdate": {**names, **told}})
        results.append({"statusUpdate": {**names, "status": {"state": "TASK_STATE_COMPLETED"}}})
        lines = [json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": one}) for one in results]
        self.send("".join(f"data: {line}\n\n" for line in lines).encode(), "text/event-stream")


async def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Agent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    agent = RemoteA2aAgent(name="r", agent_card=f"http://127.0.0.1:{server.server_port}/.well-known/agent-card.json")
    runner = InMemoryRunner(agent=agent, app_name="x")
    session = await runner.session_service.create_session(app_name="x", user_id="u")
    asked = types.Content(role="user", parts=[types.Part(text="5 + 3?")])

    def said(event):
        return "".join(part.text or "" for part in event.content.parts) if event.content and event.content.parts else ""

    whole = ""
    async for event in runner.run_async(user_id="u", session_id=session.id, new_message=asked):
        if said(event):
            print("event ", repr(said(event)), "partial" if event.partial else "whole")
    kept = await runner.session_service.get_session(app_name="x", user_id="u", session_id=session.id)
    print("kept  ", [said(event) for event in kept.events if event.author == "r" and said(event)])


asyncio.run(main())
PY
seen=$(NO_PROXY=127.0.0.1 env/bin/python -W ignore ask.py 2> /dev/null)
printf '%s\n' "$seen"
test "$seen" = "event  'It ' partial
event  'is ' partial
event  '8.' whole
kept   ['8.']"
