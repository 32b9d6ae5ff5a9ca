#!/bin/sh
# @ai-sdk/langchain 2.0.296: when a graph pauses for approval of two calls that are equal in name and arguments, the page
# asks for one of them only. toUIMessageStream finds the call that an approval belongs to by name and arguments, so both
# requests bear the id of the second call: its part on the page says "approval-requested", the first one's part stays
# "input-available" for ever, and one of the two answers that the graph waits for can never be given. Calls that differ
# in an argument are asked for one by one.
# Seen: pay(5) and pay(5), ids p1 and p2: requests for p2 and p2. pay(5) and pay(6): requests for p1 and p2.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --ignore-scripts --no-audit --no-fund --loglevel=error "@ai-sdk/langchain@2.0.296" "ai@6.0.326" \
    "@langchain/core@1.4.0" "@langchain/langgraph@1.7.3" > /dev/null
cat > pay.mjs <<'JS'
import { toUIMessageStream } from "@ai-sdk/langchain";
import { AIMessage, HumanMessage } from "@langchain/core/messages";
import { END, interrupt, MemorySaver, MessagesAnnotation, START, StateGraph } from "@langchain/langgraph";
import { readUIMessageStream } from "ai";

async function asked(...amounts) {
  const calls = amounts.map((euro, at) => ({ name: "pay", args: { euro }, id: `p${at + 1}`, type: "tool_call" }));
  const graph = new StateGraph(MessagesAnnotation)
    .addNode("model", async () => ({ messages: [new AIMessage({ id: "a", content: "", tool_calls: calls })] }))
    .addNode("gate", async () => {
      interrupt({ action_requests: calls.map(({ name, args }) => ({ name, args })) });
      return {};
    })
    .addEdge(START, "model")
    .addEdge("model", "gate")
    .addEdge("gate", END)
    .compile({ checkpointer: new MemorySaver() });
  const stream = await graph.stream(
    { messages: [new HumanMessage("pay both")] },
    { streamMode: ["values", "messages"], configurable: { thread_id: "t" } },
  );
  const [chunks, page] = toUIMessageStream(stream).tee();
  const requests = [];
  let shown;
  await Promise.all([
    (async () => {
      for await (const chunk of chunks) if (chunk.type === "tool-approval-request") requests.push(chunk.toolCallId);
    })(),
    (async () => {
      for await (const message of readUIMessageStream({ stream: page })) shown = message;
    })(),
  ]);
  const states = shown.parts.filter((part) => part.toolCallId).map((part) => `${part.toolCallId} ${part.state}`);
  return { requests, states };
}

const found = [await asked(5, 5), await asked(5, 6)];
console.log(JSON.stringify(found));
const wanted = [
  { requests: ["p2", "p2"], states: ["p1 input-available", "p2 approval-requested"] },
  { requests: ["p1", "p2"], states: ["p1 approval-requested", "p2 approval-requested"] },
];
if (JSON.stringify(found) !== JSON.stringify(wanted)) process.exit(1);
JS
LANGSMITH_TRACING=false node pay.mjs
