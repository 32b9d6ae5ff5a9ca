// What CopilotKit's runtime makes of a service: it is asked over HTTP, as a page asks it. One JSON object on standard output.
import { CopilotRuntime, createCopilotRuntimeHandler } from "@copilotkit/runtime/v2";
import { HttpAgent } from "@ag-ui/client";

const [base] = process.argv.slice(2);
const runtime = new CopilotRuntime({ agents: { default: new HttpAgent({ url: `${base}/ag-ui` }) } });
const handler = createCopilotRuntimeHandler({ runtime, activateChannels: false });
const found = {};

async function ask(path, body) {
  const headers = { "content-type": "application/json", accept: "text/event-stream" };
  const method = body ? "POST" : "GET";
  const response = await handler(new Request(`http://localhost${path}`, { method, headers, body: body && JSON.stringify(body) }));
  return { status: response.status, text: await response.text() };
}

async function run(messages, more = {}) {
  const input = { threadId: "copilot-1", runId: `r${messages.length}`, state: {}, messages, tools: [], context: [] };
  const { text } = await ask("/agent/default/run", { ...input, forwardedProps: {}, ...more });
  const lines = text.split("\n").filter((line) => line.startsWith("data:"));
  return lines.map((line) => JSON.parse(line.slice(5)));
}

found.info = JSON.parse((await ask("/info")).text);
const messages = [{ id: "u1", role: "user", content: "copilot adds" }];
found.first = await run(messages);

// A tool of the page, as CopilotKit's hooks make one.
const tools = [{ name: "paint", description: "Paints.", parameters: { type: "object", properties: {} } }];
const painting = [{ id: "u2", role: "user", content: "copilot paints" }];
found.painting = await run(painting, { threadId: "copilot-2", tools });
const started = found.painting.find((event) => event.type === "TOOL_CALL_START");
const call = { id: started.toolCallId, type: "function", function: { name: "paint", arguments: "{}" } };
painting.push({ id: "a2", role: "assistant", content: "", toolCalls: [call] });
painting.push({ id: "t2", role: "tool", toolCallId: call.id, content: "painted" });
found.painted = await run(painting, { threadId: "copilot-2", tools });

console.log(JSON.stringify(found));
process.exit(0);
