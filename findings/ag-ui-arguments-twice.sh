#!/bin/sh
# @ag-ui/client 1.0.0: a tool call that a run stopped for is told again by the run that goes on from there, as a server does
# that keeps no state between the two, and as each run by itself has to be whole. The client knows the call by its id, adds
# no second one, and appends the arguments to those that it has: the call's JSON stands there twice, in the history that it
# sends from then on, too. Nothing is said of it: the verification of the events lets the second TOOL_CALL_START pass.
# Seen: {"a":5} in run one with an interrupt, {"a":5} again in the run that resumes it; the client's message then has
# arguments {"a":5}{"a":5}, which is no JSON.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --ignore-scripts --no-audit --no-fund --loglevel=error "@ag-ui/client@1.0.0" > /dev/null
cat > twice.mjs <<'JS'
import http from "node:http";
import { HttpAgent } from "@ag-ui/client";

const server = http.createServer((request, response) => {
  let sent = "";
  request.on("data", (piece) => (sent += piece));
  request.on("end", () => {
    const { threadId, runId, resume } = JSON.parse(sent);
    const interrupt = { id: "i1", reason: "tool_call", toolCallId: "c1" };
    const events = [
      { type: "RUN_STARTED", threadId, runId },
      { type: "TOOL_CALL_START", toolCallId: "c1", toolCallName: "add" },
      { type: "TOOL_CALL_ARGS", toolCallId: "c1", delta: '{"a":5}' },
      { type: "TOOL_CALL_END", toolCallId: "c1" },
      resume
        ? { type: "TOOL_CALL_RESULT", messageId: "m1", toolCallId: "c1", content: "8" }
        : { type: "CUSTOM", name: "waits", value: true },
      { type: "RUN_FINISHED", threadId, runId, outcome: resume ? { type: "success" } : { type: "interrupt", interrupts: [interrupt] } },
    ];
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(""));
  });
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const agent = new HttpAgent({ url: `http://127.0.0.1:${server.address().port}/` });
agent.addMessage({ id: "u1", role: "user", content: "add" });
await agent.runAgent();
await agent.runAgent({ resume: [{ interruptId: "i1", status: "resolved", payload: true }] });
server.close();
const calls = agent.messages.flatMap((message) => message.toolCalls ?? []);
console.log(JSON.stringify(calls.map((call) => call.function.arguments)));
if (calls.length !== 1 || calls[0].function.arguments !== '{"a":5}{"a":5}') process.exit(1);
JS
node twice.mjs
