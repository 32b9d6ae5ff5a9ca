#!/bin/sh
# @ai-sdk/mcp 2.0.99 with mcp 2.3.0 over stdio: the client asks server/discover (2026-07-28) and waits one second for it,
# which is all that a process has for its start. Then it sends initialize (2025-11-25) behind it, without taking the first
# question back. A server that comes up later reads both in their order: it answers the first, is a server of 2026-07-28
# from then on, and refuses the second, -32022. The client knows the answer to its first question by then and throws that
# error, so a server that speaks both protocols cannot be used, for no more than a heavy import, a container, or `uvx` on a
# first start. A server of the old protocol alone may take as long as it likes. The Python client of mcp 2.3.0 waits, and
# asks again at -32022. Who serves such a client over stdio has it set protocolVersionDiscovery: false.
# Seen, a server that takes two seconds before it reads: "... the initialize handshake is not accepted", code -32022; with
# protocolVersionDiscovery: false the tool, with the Python client the tool.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check "mcp==2.3.0" 2> /dev/null
npm init -y > /dev/null
npm install --ignore-scripts --no-audit --no-fund --loglevel=error "@ai-sdk/mcp@2.0.99" "zod@4.6.7" > /dev/null
cat > server.py <<'PY'
import time

from mcp.server.mcpserver import MCPServer

server = MCPServer("slow")


@server.tool()
def look() -> str:
    return "seen"


time.sleep(2)
server.run()
PY
cat > ask.mjs <<'JS'
import { createMCPClient } from "@ai-sdk/mcp";
import { Experimental_StdioMCPTransport as Stdio } from "@ai-sdk/mcp/mcp-stdio";

for (const options of [{}, { protocolVersionDiscovery: false }]) {
  const transport = new Stdio({ command: "env/bin/python", args: ["server.py"], stderr: "ignore" });
  try {
    const client = await createMCPClient({ transport, ...options });
    console.log("ai-sdk", JSON.stringify(options), Object.keys(await client.tools()).join());
    await client.close();
  } catch (error) {
    console.log("ai-sdk", JSON.stringify(options), error.code, error.message);
  }
}
process.exit(0);
JS
cat > ask.py <<'PY'
import asyncio

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main():
    async with Client(stdio_client(StdioServerParameters(command="env/bin/python", args=["server.py"]))) as client:
        print("python", [tool.name for tool in (await client.list_tools()).tools])


asyncio.run(main())
PY
seen=$(node ask.mjs && env/bin/python -W ignore ask.py)
printf '%s\n' "$seen"
test "$seen" = 'ai-sdk {} -32022 connection is serving the 2026-07-28 protocol; the initialize handshake is not accepted
ai-sdk {"protocolVersionDiscovery":false} look
python ['"'look'"']'
