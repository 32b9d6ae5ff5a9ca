#!/bin/sh
# @modelcontextprotocol/server-filesystem 2026.8.31: edit_file reads the file, changes the text and writes it back, and takes
# the next call meanwhile. Edits of one file that come together, as an agent sends the calls of one answer of its model, each
# start from the old text: every call answers with the diff of its own change and without an error, and the file holds
# what the last writer had. Nothing in the tool's annotations says that calls must wait for each other. The same edits sent
# one behind the other, or as one call with several `edits`, are all kept.
# Seen, eight lines and eight calls that change one line each: one by one 8 kept; together 8 diffs, 0 errors, 1 kept.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
cd "$here"
npm init -y > /dev/null
npm install --silent --ignore-scripts --no-audit --no-fund "@modelcontextprotocol/server-filesystem@2026.8.31"
mkdir open
cat > edit.mjs <<'JS'
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";

const program = "node_modules/@modelcontextprotocol/server-filesystem/dist/index.js";
const path = `${process.cwd()}/open/list.txt`;
const names = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen"];

async function edited(together) {
  writeFileSync(path, names.map((name) => `${name} old\n`).join(""));
  const server = spawn("node", [program, `${process.cwd()}/open`], { stdio: ["pipe", "pipe", "ignore"] });
  const told = (message) => JSON.stringify({ jsonrpc: "2.0", ...message }) + "\n";
  const call = (name, at) => {
    const edits = [{ oldText: `${name} old`, newText: `${name} new` }];
    return told({ id: at + 2, method: "tools/call", params: { name: "edit_file", arguments: { path, edits } } });
  };
  const about = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "a", version: "1" } };
  const calls = names.map(call);
  let [answers, diffs, errors] = [0, 0, 0];
  server.stdin.write(told({ id: 1, method: "initialize", params: about }));
  for await (const line of createInterface({ input: server.stdout })) {
    const { id, result } = JSON.parse(line);
    if (id === 1) {
      const begun = together ? calls.splice(0).join("") : calls.shift();
      server.stdin.write(told({ method: "notifications/initialized" }) + begun);
    } else if (id) {
      answers += 1;
      errors += result?.isError === true || !result ? 1 : 0;
      diffs += result.content[0].text.includes(`+${names[id - 2]} new`) ? 1 : 0;
      if (answers === names.length) break;
      if (!together) server.stdin.write(calls.shift());
    }
  }
  server.kill();
  const kept = readFileSync(path, "utf8").split("\n").filter((line) => line.endsWith(" new")).length;
  return { diffs, errors, kept };
}

const [alone, together] = [await edited(false), await edited(true)];
console.log(JSON.stringify({ alone, together }));
const lost = together.diffs === 8 && together.errors === 0 && together.kept < 8;
if (JSON.stringify(alone) !== '{"diffs":8,"errors":0,"kept":8}' || !lost) process.exit(1);
JS
node edit.mjs
