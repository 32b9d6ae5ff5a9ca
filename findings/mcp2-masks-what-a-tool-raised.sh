#!/bin/sh
# mcp 2.3.0: what a tool raises reaches the client without its message, where mcp 1.30.0 sent it. The
# model reads that a tool failed and not why; a tool that wants to be understood raises ToolError.
# fastmcp 4.2.3, built on the same mcp, still sends it.
# Seen:  mcp 1.30.0     isError, "Error executing tool fail: no such date"
#        mcp 2.3.0      isError, "Error executing tool fail"
#        fastmcp 4.2.3  isError, "Error calling tool 'fail': no such date"
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
cat >"$here/server.py" <<'PY'
import sys

kind = sys.argv[1]
if kind == "mcp1":
    from mcp.server.fastmcp import FastMCP as Server
elif kind == "mcp2":
    from mcp.server.mcpserver import MCPServer as Server
else:
    from fastmcp import FastMCP as Server
server = Server("s")


@server.tool()
def fail() -> str:
    raise ValueError("no such date")


server.run(show_banner=False) if kind == "fastmcp" else server.run()
PY
cat >"$here/ask.py" <<'PY'
import json
import subprocess
import sys

with subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:

    def send(**message):
        server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        server.stdin.flush()

    about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
    send(id=1, method="initialize", params=about)
    server.stdout.readline()
    send(method="notifications/initialized")
    send(id=2, method="tools/call", params={"name": "fail", "arguments": {}})
    while (answer := json.loads(server.stdout.readline())).get("id") != 2:
        pass
    server.stdin.close()
print(answer["result"]["isError"], answer["result"]["content"][0]["text"])
PY
said() {
    python3 -m venv "$here/$1"
    "$here/$1/bin/pip" -q --disable-pip-version-check install "$2" >/dev/null 2>&1
    "$here/$1/bin/python" "$here/ask.py" "$here/$1/bin/python" "$here/server.py" "$1"
}
one=$(said mcp1 mcp==1.30.0)
two=$(said mcp2 mcp==2.3.0)
fast=$(said fastmcp fastmcp==4.2.3)
printf '%s\n%s\n%s\n' "mcp 1: $one" "mcp 2: $two" "fastmcp: $fast"
[ "$one" = "True Error executing tool fail: no such date" ]
[ "$two" = "True Error executing tool fail" ]
[ "$fast" = "True Error calling tool 'fail': no such date" ]
