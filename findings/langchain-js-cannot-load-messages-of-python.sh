#!/bin/sh
# @langchain/core 1.4.0 with langchain-core 1.8.3: Python's dumps writes a message under the name that the class had years
# ago, ["langchain", "schema", "messages", "HumanMessage"], for the sake of what was stored then; load() of JavaScript,
# which reads the same format, knows no such place and throws "Invalid namespace". So a conversation that a Python service
# keeps with dumps cannot be read by a JavaScript one, one way only: what JSON.stringify of a message gives in JavaScript is
# read by Python's loads. An importMap that names the place helps.
# Seen: load: Invalid namespace; with importMap {schema__messages}: human and ai with its call; Python reads the other's:
# the same.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check "langchain-core==1.8.3" 2> /dev/null
npm init -y > /dev/null
npm install --ignore-scripts --no-audit --no-fund --loglevel=error "@langchain/core@1.4.0" > /dev/null
cat > write.py <<'PY'
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage

call = {"name": "look", "args": {"at_time": 5}, "id": "c1", "type": "tool_call"}
print(dumps([HumanMessage("look"), AIMessage("", tool_calls=[call])]))
PY
cat > read.mjs <<'JS'
import { readFileSync, writeFileSync } from "node:fs";
import { load } from "@langchain/core/load";
import * as messages from "@langchain/core/messages";

const python = readFileSync("python.json", "utf8");
const short = (list) => list.map(({ type, tool_calls }) => [type, tool_calls?.[0]?.args].flat());
try {
  console.log(JSON.stringify(short(await load(python))));
} catch (error) {
  console.log(error.message.split(":")[0]);
}
const read = await load(python, { importMap: { schema__messages: messages } });
console.log(JSON.stringify(short(read)));
writeFileSync("javascript.json", JSON.stringify(read));
JS
cat > back.py <<'PY'
from pathlib import Path

from langchain_core.load import loads

print([(m.type, *(c["args"] for c in getattr(m, "tool_calls", []))) for m in loads(Path("javascript.json").read_text())])
PY
env/bin/python write.py > python.json
seen=$(node read.mjs && env/bin/python -W ignore back.py 2> /dev/null)
printf '%s\n' "$seen"
test "$seen" = "Invalid namespace
[[\"human\",null],[\"ai\",{\"at_time\":5}]]
[('human',), ('ai', {'at_time': 5})]"
