// What `@ag-ui/client` makes of a service: one JSON object on standard output.
import { HttpAgent } from "@ag-ui/client";

const [base] = process.argv.slice(2);
const url = `${base}/ag-ui`;
const found = {};
let number = 0;
const user = (content) => ({ id: `u${process.pid}${number++}`, role: "user", content });
const texts = (agent) => agent.messages.map((each) => `${each.role}: ${each.content ?? ""}`);

async function run(agent, params = {}) {
  const events = [];
  let failed = null;
  const result = await agent
    .runAgent(params, {
      onEvent: ({ event }) => void events.push(event.type),
      onRunErrorEvent: ({ event }) => void (failed = { code: event.code, message: event.message }),
    })
    .catch((error) => ({ rejected: { status: error.status, payload: error.payload, message: error.message } }));
  return { events, failed, rejected: result.rejected ?? null, added: result.newMessages?.length ?? 0 };
}

const agent = new HttpAgent({ url, initialState: { tab: "home" } });
agent.addMessage(user("ag-ui first"));
const first = await run(agent);
found.first = { ...first, texts: texts(agent), state: agent.state, threadId: agent.threadId };
agent.addMessage(user("ag-ui second"));
found.second = { ...(await run(agent)), texts: texts(agent), thread: agent.state.waystation.thread_id };

// The second question put otherwise, as a page does that lets its user edit it.
const edited = new HttpAgent({ url, threadId: agent.threadId, initialMessages: agent.messages.slice(0, 3) });
edited.addMessage(user("ag-ui edited"));
found.edited = { ...(await run(edited)), texts: texts(edited), thread: edited.state.waystation.thread_id };

const tools = new HttpAgent({ url });
tools.addMessage(user("ag-ui tools"));
found.tools = { ...(await run(tools)), messages: [...tools.messages] };
tools.addMessage(user("ag-ui behind tools"));
found.behind = { ...(await run(tools)), thread: tools.state.waystation.thread_id, home: tools.threadId };

const asks = new HttpAgent({ url });
asks.addMessage(user("ag-ui asks"));
const waits = await run(asks);
const [pending] = asks.pendingInterrupts;
found.asks = { ...waits, pending, status: asks.state.waystation.status };
const resume = [{ interruptId: pending.id, status: "resolved", payload: { approve: true } }];
found.resumed = { ...(await run(asks, { resume })), messages: [...asks.messages], pending: asks.pendingInterrupts };
asks.addMessage(user("ag-ui behind asks"));
found.after = { ...(await run(asks)), thread: asks.state.waystation.thread_id, home: asks.threadId };

const denied = new HttpAgent({ url });
denied.addMessage(user("ag-ui denied"));
await run(denied);
const dropped = [{ interruptId: denied.pendingInterrupts[0].id, status: "cancelled" }];
found.denied = { ...(await run(denied, { resume: dropped })), texts: texts(denied) };

// A tool of the page, which the page runs.
const page = new HttpAgent({ url });
page.addMessage(user("ag-ui paints"));
const tool = { name: "paint", description: "Paints.", parameters: { type: "object", properties: {} } };
const painting = await run(page, { tools: [tool] });
const [made] = page.messages.at(-1).toolCalls;
page.addMessage({ id: "painted", role: "tool", toolCallId: made.id, content: "painted" });
found.painting = { ...painting, call: made };
found.painted = { ...(await run(page, { tools: [tool] })), texts: texts(page) };

const broken = new HttpAgent({ url });
broken.addMessage(user("ag-ui broken"));
found.broken = await run(broken);

const refused = new HttpAgent({ url });
refused.addMessage(user("ag-ui first"));
found.refused = await run(refused, { forwardedProps: { model: "nobody's" } });

console.log(JSON.stringify(found));
