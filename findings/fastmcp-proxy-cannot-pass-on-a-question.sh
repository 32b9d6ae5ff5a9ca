#!/bin/sh
# fastmcp 4.2.3 (mcp 2.3.0): a client of the protocol up to 2025-11-25 asks a tool that asks back (elicitation) and
# logs. At the server itself both come; behind create_proxy the question is an error of the tool and the log
# lines are gone, progress and results are as ever. The proxy speaks 2026-07-28 to what is behind it, which has
# no way back for requests of a server, whatever its own client speaks.
# Who needs the questions puts a client of their own in front: Waystation connects to such servers directly.
# Seen:  directly       got Ann; progress 1 of 2; log: working
#        behind a proxy Error calling tool 'ask': Cannot send 'elicitation/create': ...; progress 1 of 2; no log
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
python3 -m venv "$here/env"
"$here/env/bin/pip" -q --disable-pip-version-check install fastmcp==4.2.3 mcp==2.3.0 >/dev/null 2>&1
cat >"$here/server.py" <<'PY'
from fastmcp import Context, FastMCP

server = FastMCP("s")


@server.tool()
async def look(ctx: Context) -> str:
    await ctx.report_progress(1, 2)
    await ctx.info("working")
    return "seen"


@server.tool()
async def ask(ctx: Context) -> str:
    answer = await ctx.elicit("Your name?", response_type=str)
    return f"got {answer.data}"


server.run(show_banner=False)
PY
cat >"$here/proxy.py" <<'PY'
import sys

from fastmcp.server import create_proxy

behind = {"command": sys.executable, "args": [sys.argv[1]]}
create_proxy({"mcpServers": {"s": behind}}).run(show_banner=False)
PY
cat >"$here/ask.py" <<'PY'
import asyncio
import sys

from fastmcp import Client
from fastmcp.client.transports import StdioTransport

progress, logs = [], []


async def on_progress(done, total, message):
    progress.append((done, total))


async def on_log(message):
    logs.append(message.data["msg"])


async def on_question(message, response_type, params, context):
    return {"value": "Ann"}


async def main():
    transport = StdioTransport(sys.executable, sys.argv[1:])
    hears = {"progress_handler": on_progress, "log_handler": on_log, "elicitation_handler": on_question}
    async with Client(transport, mode="legacy", **hears) as client:
        for name in ("look", "ask"):
            result = await client.call_tool(name, {}, raise_on_error=False)
            print(name, result.is_error, result.content[0].text[:66])
    print(progress, logs)


asyncio.run(main())
PY
direct=$("$here/env/bin/python" "$here/ask.py" "$here/server.py" 2>/dev/null)
behind=$("$here/env/bin/python" "$here/ask.py" "$here/proxy.py" "$here/server.py" 2>/dev/null)
printf 'directly\n%s\nbehind a proxy\n%s\n' "$direct" "$behind"
test "$direct" = "look False seen
ask False got Ann
[(1.0, 2.0)] ['working']"
test "$behind" = "look False seen
ask True Error calling tool 'ask': Cannot send 'elicitation/create': this t
[(1.0, 2.0)] []"
