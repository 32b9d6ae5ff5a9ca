#!/bin/sh
# @modelcontextprotocol/sdk 1.32.2: callTool holds what a tool gives against its outputSchema, which the client remembers from
# listTools. Each page of a list takes the place of what was remembered, so of a server that lists in pages only the tools of
# the page that was read last are held to their schemas: an answer that does not fit is an error for some tools and a result
# like any other for the rest, and which ones depends on where the server cuts its list. The same list in one page holds
# all. Reading the first page once more, for a display, frees those of the second.
# Seen, each tool promises a whole number and gives a word: one page: first refused, second refused; two pages: first
# {"n":"many"}, second refused.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --ignore-scripts --no-audit --no-fund --loglevel=error "@modelcontextprotocol/sdk@1.32.2" > /dev/null
cat > call.mjs <<'JS'
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { InMemoryTransport } from "@modelcontextprotocol/sdk/inMemory.js";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { CallToolRequestSchema, ListToolsRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const outputSchema = { type: "object", properties: { n: { type: "integer" } }, required: ["n"] };
const tools = ["first", "second"].map((name) => ({ name, inputSchema: { type: "object" }, outputSchema }));

async function called(size) {
  const server = new Server({ name: "s", version: "1" }, { capabilities: { tools: {} } });
  server.setRequestHandler(ListToolsRequestSchema, async ({ params }) => {
    const from = Number(params?.cursor ?? 0);
    const more = from + size < tools.length ? { nextCursor: String(from + size) } : {};
    return { tools: tools.slice(from, from + size), ...more };
  });
  server.setRequestHandler(CallToolRequestSchema, async () => ({
    content: [{ type: "text", text: "many" }],
    structuredContent: { n: "many" },
  }));
  const client = new Client({ name: "c", version: "1" });
  const [one, other] = InMemoryTransport.createLinkedPair();
  await Promise.all([server.connect(one), client.connect(other)]);
  let cursor;
  do {
    ({ nextCursor: cursor } = await client.listTools({ cursor }));
  } while (cursor);
  const seen = [];
  for (const { name } of tools) {
    const result = client.callTool({ name }).then(({ structuredContent }) => JSON.stringify(structuredContent));
    seen.push(await result.catch((error) => (/does not match the tool's output schema/.test(error.message) ? "refused" : error.message)));
  }
  return seen.join(" ");
}

console.log("one page ", await called(2));
console.log("two pages", await called(1));
JS
seen=$(node call.mjs)
printf '%s\n' "$seen"
test "$seen" = 'one page  refused refused
two pages {"n":"many"} refused'
