#!/bin/sh
# openapi-python-client 0.29.1 and orval 8.38.0: an operation whose body may be JSON or a form, as uploads often have it (OpenAPI lets
# `content` hold several), is generated without an error or a warning and cannot be sent. The Python module raises NameError
# when it is imported, since `Unset` is not. orval's function takes either by its type, makes JSON of both (a file is `{}` in it),
# and names no Content-Type, so fetch says text/plain. With one form of the two, both clients are right.
# A description that clients are made from tells one form, and the other in words.
# Seen: two forms: NameError, text/plain {"file":{}}; the form alone: imported, multipart/form-data.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check "openapi-python-client==0.29.1" 2> /dev/null
npm init -y > /dev/null
npm pkg set type=module > /dev/null
npm install --ignore-scripts --no-audit --no-fund --loglevel=error "orval@8.38.0" "typescript@5.9.3" > /dev/null
cat > describe.py <<'PY'
import json
from pathlib import Path

JSON = {"application/json": {"schema": {"type": "object", "title": "Small", "properties": {"name": {"type": "string"}}}}}
FILE = {"type": "object", "title": "Form", "properties": {"file": {"type": "string", "format": "binary"}}, "required": ["file"]}
FORM = {"multipart/form-data": {"schema": FILE}}
ANSWER = {"200": {"description": "ok", "content": {"application/json": {"schema": {"type": "string"}}}}}
for name, content in (("two", {**JSON, **FORM}), ("one", FORM)):
    upload = {"operationId": "upload", "requestBody": {"required": True, "content": content}, "responses": ANSWER}
    found = {"openapi": "3.1.0", "info": {"title": name, "version": "1"}, "paths": {"/files": {"post": upload}}}
    Path(f"{name}.json").write_text(json.dumps(found))
PY
python3 describe.py
cat > send.mjs <<'JS'
import ts from "typescript";
import { readFileSync } from "node:fs";

const made = readFileSync(`${process.argv[2]}.ts`, "utf8");
const plain = ts.transpileModule(made, { compilerOptions: { module: ts.ModuleKind.ES2022, target: ts.ScriptTarget.ES2022 } });
const { upload } = await import(`data:text/javascript,${encodeURIComponent(plain.outputText)}`);
globalThis.fetch = async (url, given) => {
  const sent = new Request(url, given);
  const media = sent.headers.get("content-type").split(";")[0];
  console.log(`orval   ${media} ${media.startsWith("text") ? await sent.text() : ""}`.trim());
  return new Response('"ok"');
};
await upload({ file: new Blob(["hello"]) });
JS
seen=$(for forms in two one; do
    env/bin/openapi-python-client generate --path $forms.json --output-path made-$forms > made.log 2>&1
    test "$(grep -ci nameerror made.log)" = 0
    (cd made-$forms && ../env/bin/python -c "import ${forms}_client.api.default.upload" 2>&1 | grep -o "^NameError" || echo imported)
    node_modules/.bin/orval --input ./$forms.json --output ./$forms.ts --client fetch > /dev/null 2>&1
    sed -i 's#`/files`#`http://here/files`#' $forms.ts
    node send.mjs $forms
done)
printf '%s\n' "$seen"
test "$seen" = 'NameError
orval   text/plain {"file":{}}
imported
orval   multipart/form-data'
