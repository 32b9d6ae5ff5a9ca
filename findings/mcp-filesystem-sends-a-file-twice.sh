#!/bin/sh
# @modelcontextprotocol/server-filesystem 2026.8.31: read_media_file gives the bytes of a file twice, as
# an image block and once more inside structuredContent ({"content": [the same block]}). A client that
# shows structured content to its model beside the text hands it the whole base64 as text.
# Seen: blocks of content: image; structuredContent repeats them: true; its bytes in the answer: 2 times
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
cd "$here"
npm install --silent --ignore-scripts --no-audit --no-fund @modelcontextprotocol/server-filesystem@2026.8.31
mkdir open
printf '\211PNG\r\n\032\n0123456789' >open/dot.png
cat >ask.mjs <<'JS'
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
const folder = `${process.cwd()}/open`;
const server = spawn("node", ["node_modules/@modelcontextprotocol/server-filesystem/dist/index.js", folder], {
  stdio: ["pipe", "pipe", "ignore"],
});
const send = (message) => server.stdin.write(JSON.stringify({ jsonrpc: "2.0", ...message }) + "\n");
const about = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "a", version: "1" } };
send({ id: 1, method: "initialize", params: about });
for await (const line of createInterface({ input: server.stdout })) {
  const answer = JSON.parse(line);
  if (answer.id === 1) {
    send({ method: "notifications/initialized" });
    send({ id: 2, method: "tools/call", params: { name: "read_media_file", arguments: { path: `${folder}/dot.png` } } });
  } else if (answer.id === 2) {
    const { content, structuredContent } = answer.result;
    const same = JSON.stringify(structuredContent) === JSON.stringify({ content });
    const times = line.split(content[0].data).length - 1;
    console.log(`blocks of content: ${content.map((part) => part.type)}; structuredContent repeats them: ${same}; its bytes in the answer: ${times} times`);
    server.stdin.end();
    break;
  }
}
server.kill();
JS
said=$(node ask.mjs)
echo "$said"
[ "$said" = "blocks of content: image; structuredContent repeats them: true; its bytes in the answer: 2 times" ]
