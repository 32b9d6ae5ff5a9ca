#!/bin/sh
# @ag-ui/client 1.0.0: compactEvents, made for keeping a run's events and sending them again, holds a message back until its
# END comes. A run that fails in the middle of an answer has none (RUN_ERROR may come at any time), so what is held back is
# put behind RUN_ERROR. The list is then no run any more: the same client refuses it at the first event after the error,
# and shows neither the half answer nor the error, both of which it showed when the run was live. The same for a tool call
# that was cut in the middle. A reader of the raw events has no such trouble, and a run that ended well is compacted well.
# Seen: live "Half an" and RUN_ERROR; compacted RUN_STARTED RUN_ERROR TEXT_MESSAGE_START TEXT_MESSAGE_CONTENT; played again:
# no message, and "Cannot send event type 'TEXT_MESSAGE_START': The run has already errored with 'RUN_ERROR'".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --ignore-scripts --no-audit --no-fund --loglevel=error "@ag-ui/client@1.0.0" > /dev/null
cat > play.mjs <<'JS'
import http from "node:http";
import { compactEvents, HttpAgent } from "@ag-ui/client";

async function play(events) {
  const server = http.createServer((request, response) => {
    request.resume();
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(""));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const agent = new HttpAgent({ url: `http://127.0.0.1:${server.address().port}/`, threadId: "t" });
  const told = [];
  let refused = "";
  try {
    await agent.runAgent({ runId: "r" }, { onRunErrorEvent: ({ event }) => void told.push(event.message) });
  } catch (error) {
    refused = error.message;
  }
  server.close();
  return { shown: agent.messages.map((message) => message.content), told, refused };
}

console.error = () => {};
const run = [
  { type: "RUN_STARTED", threadId: "t", runId: "r" },
  { type: "TEXT_MESSAGE_START", messageId: "a", role: "assistant" },
  { type: "TEXT_MESSAGE_CONTENT", messageId: "a", delta: "Half " },
  { type: "TEXT_MESSAGE_CONTENT", messageId: "a", delta: "an" },
  { type: "RUN_ERROR", message: "the model hung up" },
];
const compact = compactEvents(run);
const [live, again] = [await play(run), await play(compact)];
console.log(JSON.stringify({ live, compact: compact.map((event) => event.type), again }));
const right =
  JSON.stringify(live) === JSON.stringify({ shown: ["Half an"], told: ["the model hung up"], refused: "" }) &&
  compact.map((event) => event.type).join() === "RUN_STARTED,RUN_ERROR,TEXT_MESSAGE_START,TEXT_MESSAGE_CONTENT" &&
  again.shown.length === 0 &&
  again.told.length === 0 &&
  again.refused.startsWith("Cannot send event type 'TEXT_MESSAGE_START': The run has already errored");
if (!right) process.exit(1);
JS
node play.mjs
