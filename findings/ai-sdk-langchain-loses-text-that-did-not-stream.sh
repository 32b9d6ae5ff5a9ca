#!/bin/sh
# @ai-sdk/langchain 2.0.296: toUIMessageStream takes text of a LangGraph stream from message chunks only. Text that comes in
# any other way is told by langgraph in both modes that the adapter asks for ("messages" and "values") and is dropped: an
# answer that a node writes itself (a refusal, a cached answer, a limit that was reached), and the words of a chunk that
# carries a tool call as well, as models send them that answer in one piece. Nothing is said of it: the stream starts and
# finishes, and the user sees an empty answer, or the call without the sentence that explains it.
# Seen: state has "Out of office." and the page has no text part; state has "I look it up." and the page only the call;
# the same words in a chunk of their own arrive.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --ignore-scripts --no-audit --no-fund --loglevel=error "@ai-sdk/langchain@2.0.296" "ai@6.0.326" \
    "@langchain/core@1.4.0" "@langchain/langgraph@1.7.3" > /dev/null
cat > text.mjs <<'JS'
import { toUIMessageStream } from "@ai-sdk/langchain";
import { BaseChatModel } from "@langchain/core/language_models/chat_models";
import { AIMessage, AIMessageChunk, HumanMessage } from "@langchain/core/messages";
import { ChatGenerationChunk } from "@langchain/core/outputs";
import { END, MessagesAnnotation, START, StateGraph } from "@langchain/langgraph";
import { readUIMessageStream } from "ai";

class Model extends BaseChatModel {
  constructor(chunks) {
    super({});
    this.chunks = chunks;
  }
  _llmType() {
    return "scripted";
  }
  async *_streamResponseChunks(_messages, _options, run) {
    for (const message of this.chunks) {
      const chunk = new ChatGenerationChunk({ message, text: message.content });
      yield chunk;
      await run?.handleLLMNewToken(chunk.text, undefined, undefined, undefined, undefined, { chunk });
    }
  }
  async _generate() {
    throw new Error("is streamed");
  }
}

async function seen(reply) {
  const node = async (state) => ({ messages: [await reply(state.messages)] });
  const graph = new StateGraph(MessagesAnnotation).addNode("answer", node).addEdge(START, "answer").addEdge("answer", END);
  const stream = await graph.compile().stream(
    { messages: [new HumanMessage("is Ann in?")] },
    { streamMode: ["values", "messages"] },
  );
  let stored, shown;
  const kept = (async function* () {
    for await (const event of stream) {
      if (event[0] === "values") stored = event[1].messages.at(-1);
      yield event;
    }
  })();
  for await (const message of readUIMessageStream({ stream: toUIMessageStream(ReadableStream.from(kept)) })) shown = message;
  const text = (shown?.parts ?? []).filter((part) => part.type === "text").map((part) => part.text);
  return [stored.content, text.join("")];
}

const call = { name: "look_up", args: '{"who":"Ann"}', id: "c1", index: 0, type: "tool_call_chunk" };
const says = "I look it up.";
const cases = {
  "by a node": await seen(() => new AIMessage({ id: "a", content: "Out of office." })),
  "beside a call": await seen((past) =>
    new Model([new AIMessageChunk({ id: "b", content: says, tool_call_chunks: [call] })]).invoke(past),
  ),
  "in its own chunk": await seen((past) =>
    new Model([
      new AIMessageChunk({ id: "c", content: says }),
      new AIMessageChunk({ id: "c", content: "", tool_call_chunks: [call] }),
    ]).invoke(past),
  ),
};
console.log(JSON.stringify(cases));
const wanted = { "by a node": ["Out of office.", ""], "beside a call": [says, ""], "in its own chunk": [says, says] };
if (JSON.stringify(cases) !== JSON.stringify(wanted)) process.exit(1);
JS
LANGSMITH_TRACING=false node text.mjs
