#!/bin/sh
# litellm 1.108.7: responses() speaks OpenAI's Responses API before any model, and where the provider has chat completions alone
# (here LM Studio's), it makes one of the other. previous_response_id then needs the conversation, which only its proxy with a
# database has. Without one nothing is raised: the model is sent the last input as if it were the first, and the response is
# "completed" and names the response that it went on from. An agent whose memory is previous_response_id (which frameworks offer
# as the one that needs no history) answers each turn without the turns before it, and its log shows an unbroken chain.
# A provider that litellm asks by Responses itself (hosted_vllm) is another matter.
# Who asks through it sends the items of the conversation itself.
# Seen:  second response  status completed, previous_response_id that of the first
#        the model        got 'What is my name?' and nothing before it; with the items sent: both turns
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "litellm==1.108.7" 2> /dev/null
cat > "$folder/talk.py" <<'PY'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import litellm

heard = []


class Model(BaseHTTPRequestHandler):
    """A server of chat completions that says yes."""

    def do_POST(self):
        heard.append(json.loads(self.rfile.read(int(self.headers["content-length"])))["messages"])
        choice = {"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        said = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        data = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Model)
threading.Thread(target=server.serve_forever, daemon=True).start()
at = {"model": "lm_studio/m", "api_base": f"http://127.0.0.1:{server.server_port}/v1", "api_key": "none"}
first = litellm.responses(input="My name is Ada.", **at)
second = litellm.responses(input="What is my name?", previous_response_id=first.id, **at)
told = {"status": second.status, "goes on from the first": second.previous_response_id == first.id}
items = [
    {"role": "user", "content": "My name is Ada."},
    {"role": "assistant", "content": [{"type": "output_text", "text": "Yes."}]},
    {"role": "user", "content": "What is my name?"},
]
litellm.responses(input=items, **at)
print(told, heard[1], [message["role"] for message in heard[2]], sep="\n")
assert told == {"status": "completed", "goes on from the first": True}, told
assert heard[1] == [{"role": "user", "content": "What is my name?"}], heard[1]
assert [message["role"] for message in heard[2]] == ["user", "assistant", "user"], heard[2]
PY
NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 LITELLM_LOCAL_MODEL_COST_MAP=True "$folder/env/bin/python" -W ignore "$folder/talk.py"
