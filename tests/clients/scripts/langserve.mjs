// What LangChain's `RemoteRunnable` makes of a service: one JSON object on standard output.
import { RemoteRunnable } from "@langchain/core-with-remote/runnables/remote";

const [base] = process.argv.slice(2);
const agent = new RemoteRunnable({ url: `${base}/agent` });
const config = (thread, more = {}) => ({ configurable: { thread_id: thread, ...more } });
const found = {};

const all = async (stream) => {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
};

found.stream = await all(await agent.stream({ message: "tools" }, config("js-stream")));
found.paused = await all(await agent.stream({ message: "ask first" }, config("js-ask")));
found.invoked = await agent.invoke({ message: "whole" }, config("js-invoke"));
found.batch = await agent.batch(
  [{ message: "whole" }, { message: "broken" }],
  [config("js-batch-1"), config("js-batch-2")],
);
const told = agent.streamEvents({ message: "tools again" }, { version: "v2", ...config("js-events") });
found.events = (await all(told)).map(({ event, name, data }) => ({
  event,
  name,
  text: data.chunk?.content ?? data.output?.content ?? null,
  input: event === "on_tool_start" ? data.input : null,
}));
const filtered = agent.streamEvents(
  { message: "whole" }, { version: "v2", ...config("js-filter") }, { includeTypes: ["chat_model"] },
);
found.filtered = [...new Set((await all(filtered)).map(({ event }) => event))];

process.stdout.write(JSON.stringify(found));
