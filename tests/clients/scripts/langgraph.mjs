// The JavaScript SDK of LangGraph and its hook useStream, without a browser: what they see, as one JSON.
// node langgraph.mjs ADDRESS
import { Client } from "@langchain/langgraph-sdk";
import { useStream } from "@langchain/langgraph-sdk/react";
import { createElement, useEffect } from "react";
import { create } from "react-test-renderer";

const address = process.argv[2];
const GRAPH = "waystation";
const client = new Client({ apiUrl: address, callerOptions: { maxRetries: 0 } });
const asks = (content) => ({ messages: [{ type: "human", content }] });
const texts = (values) => (values?.messages ?? []).map((message) => message.content);
const found = {};

const all = async (stream) => {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
};

async function plain() {
  const [assistant] = await client.assistants.search({ graphId: GRAPH });
  const { thread_id: thread } = await client.threads.create({ metadata: { from: "js" } });
  let made;
  const parts = await all(
    client.runs.stream(thread, assistant.assistant_id, {
      input: asks("js streams"),
      streamMode: ["values", "updates", "messages-tuple", "custom"],
      onRunCreated: (run) => (made = run),
    }),
  );
  const joined = await all(
    client.runs.joinStream(thread, made.run_id, { lastEventId: "-1", streamMode: ["values", "updates"] }),
  );
  const rest = await all(
    client.runs.joinStream(thread, made.run_id, { lastEventId: parts[3].id, streamMode: ["values"] }),
  );
  const waited = await client.runs.wait(thread, GRAPH, { input: asks("js waits") });
  const history = await client.threads.getHistory(thread, { limit: 3 });
  const before = { configurable: history[0].checkpoint };
  const older = await client.threads.getHistory(thread, { limit: 3, before });
  let refused;
  await client.threads.get("00000000-0000-4000-8000-000000000000").catch((error) => (refused = error));
  found.plain = {
    events: [...new Set(parts.map((part) => part.event))],
    made,
    said: parts.filter((p) => p.event === "messages").map((p) => p.data[0].content).join(""),
    joined: joined.map((part) => part.event),
    rest: rest.map((part) => part.event),
    waited: texts(waited),
    older: older[0].checkpoint_id === history[1].checkpoint_id,
    found: (await client.threads.search({ metadata: { from: "js" } })).map((one) => one.thread_id === thread),
    refused: refused?.status,
  };
}

// -- useStream ------------------------------------------------------------------------------------

let now;
const shown = [];
function Chat() {
  const stream = useStream({
    apiUrl: address,
    assistantId: GRAPH,
    messagesKey: "messages",
    fetchStateHistory: true,
  });
  now = stream;
  // Reading them is what makes the hook ask for their modes.
  const messages = stream.messages.map((message) => `${message.type}:${message.content}`);
  useEffect(() => {
    shown.push(messages);
  });
  return createElement("p", null, messages.join("\n"));
}

const until = async (what, holds) => {
  for (let left = 1200; left > 0; left -= 1) {
    if (holds()) return;
    await new Promise((done) => setTimeout(done, 25));
  }
  throw new Error(`waited in vain for ${what}: ${JSON.stringify(now?.messages)} ${now?.error}`);
};
const quiet = () => !now.isLoading;
const said = () => now.messages.filter((m) => m.content !== "").map((m) => `${m.type}:${m.content}`);
const turn = async (...given) => {
  const before = shown.length;
  now.submit(...given);
  await until("the turn to begin", () => now.isLoading || shown.length > before + 2);
  await until("the turn to end", quiet);
  // The hook reads the history once more when a stream has ended.
  await new Promise((done) => setTimeout(done, 300));
  await until("the history", quiet);
};

async function hook() {
  create(createElement(Chat));
  await until("the hook", () => now !== undefined);
  await turn(asks("hook first"));
  const first = said();
  const growing = shown.some((messages) => messages.some((m) => m.startsWith("ai:") && m !== first[1]));
  const doubled = shown.some((messages) => messages.filter((m) => m === first[1]).length > 1);
  await turn(asks("hook second"));
  const second = said();
  await turn(asks("hook tool"), { context: { approval: "ask" } });
  const question = now.interrupt?.value;
  const waiting = said();
  await turn(undefined, { command: { resume: { approve: true } } });
  const answered = said();
  const types = now.messages.map((message) => message.type);
  const branches = now.history.length;

  const human = now.messages[0];
  const { parent_checkpoint: checkpoint } = now.getMessagesMetadata(human).firstSeenState;
  await turn(asks("hook edited"), { checkpoint });
  const edited = said();
  const options = now.getMessagesMetadata(now.messages[0])?.branchOptions?.length;

  const answer = now.messages[1];
  const again = now.getMessagesMetadata(answer).firstSeenState.parent_checkpoint;
  await turn(undefined, { checkpoint: again });
  const regenerated = said();
  const meta = now.getMessagesMetadata(now.messages[1]);
  const ways = meta?.branchOptions?.length;
  now.setBranch(meta.branchOptions.find((branch) => branch !== meta.branch));
  await until("the other branch", () => said().join() === edited.join());

  found.hook = {
    first, growing, doubled, second, waiting, question, answered, types, branches, edited, options,
    regenerated, ways, back: said(), error: now.error ? String(now.error) : null,
  };
}

await plain();
await hook();
process.stdout.write(JSON.stringify(found));
process.exit(0);
