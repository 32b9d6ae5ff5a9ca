// What the `openai` package for Node.js makes of a service: one JSON object on standard output.
import OpenAI, { toFile } from "openai";

const [base] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: "none", maxRetries: 0 });
const model = "waystation";
const user = (content) => ({ role: "user", content });
const found = {};

async function refused(action) {
  try {
    await action();
    return null;
  } catch (error) {
    return { kind: error.constructor.name, status: error.status ?? null, code: error.code, param: error.param ?? null };
  }
}

found.models = (await client.models.list()).data.map((each) => each.id);
found.model = (await client.models.retrieve("waystation/offline")).id;

const whole = await client.chat.completions.create({ model, messages: [user("whole")] });
found.whole = { text: whole.choices[0].message.content, finish: whole.choices[0].finish_reason, usage: whole.usage };

const said = [user("whole"), { role: "assistant", content: found.whole.text }, user("and then")];
const next = await client.chat.completions.create({ model, messages: said });
found.sameThread = next.waystation.thread_id === whole.waystation.thread_id;

const stream = client.chat.completions.stream({
  model, messages: [user("stream")], stream_options: { include_usage: true },
});
found.streamed = [];
stream.on("content", (delta) => found.streamed.push(delta));
const final = await stream.finalChatCompletion();
found.final = { text: final.choices[0].message.content, finish: final.choices[0].finish_reason, usage: final.usage };

const tools = client.chat.completions.stream({ model, messages: [user("tools")] });
const ran = await tools.finalChatCompletion();
found.tools = { text: ran.choices[0].message.content, calls: ran.choices[0].message.tool_calls ?? null };

found.unknownModel = await refused(() =>
  client.chat.completions.create({ model: "gpt-4", messages: [user("hi")], stream: true }));
const place = { type: "object", properties: { place: { type: "string" } } };
const weather = { name: "weather", parameters: place, parse: JSON.parse, function: ({ place }) => `sun in ${place}` };
const runner = client.chat.completions.runTools({
  model, messages: [user("weather")], tools: [{ type: "function", function: weather }],
});
found.clientTools = await runner.finalContent();
found.broken = await refused(async () => {
  const broken = await client.chat.completions.create({ model, messages: [user("broken")], stream: true });
  for await (const chunk of broken) void chunk;
});

const response = await client.responses.create({ model, input: "response" });
found.response = { text: response.output_text, status: response.status };
const behind = await client.responses.create({ model, input: "behind", previous_response_id: response.id });
found.behind = { text: behind.output_text, same: behind.conversation.id === response.conversation.id };

const events = [];
const streaming = client.responses.stream({ model, input: "events" });
for await (const event of streaming) events.push(event);
const last = await streaming.finalResponse();
found.events = {
  numbers: events.every((event, place) => !place || event.sequence_number > events[place - 1].sequence_number),
  first: events[0].type, last: events.at(-1).type, text: last.output_text,
};

const begun = await client.responses.create({ model, input: "background", background: true });
found.cancelled = (await client.responses.cancel(begun.id)).status;
found.retrieved = (await client.responses.retrieve(response.id)).output_text;

const file = await client.files.create({
  file: await toFile(Buffer.from("north,5\n"), "größe \"1\".csv"), purpose: "user_data",
  expires_after: { anchor: "created_at", seconds: 7200 },
});
const part = { type: "input_file", file_id: file.id };
const about = await client.responses.create({ model, input: [{ role: "user", content: [part, { type: "input_text", text: "about it" }] }] });
const listed = [];
for await (const each of client.files.list({ purpose: "user_data", limit: 1 })) listed.push(each.id);
found.file = {
  name: file.filename, lives: file.expires_at - file.created_at, content: await (await client.files.content(file.id)).text(),
  listed: listed.includes(file.id), used: (await client.responses.inputItems.list(about.id)).data[0].content.some((each) => each.file_id === file.id),
  deleted: (await client.files.delete(file.id)).deleted, gone: await refused(() => client.files.retrieve(file.id)),
};

console.log(JSON.stringify(found));
