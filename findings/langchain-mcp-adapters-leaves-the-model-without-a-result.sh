#!/bin/sh
# langchain-mcp-adapters 0.3.2 (mcp 1.30.0, langchain 1.5.2): a tool's result that is structuredContent alone (the
# protocol asks for text beside it with SHOULD) reaches the model as no content at all: it is in the artifact
# only, which no model reads. A result of text and audio is raised as NotImplementedError, which ends
# the whole run of create_agent, with the text that was beside it.
# Seen:  structured alone  success, content [], artifact {'structured_content': {'degrees': 21}}
#        text and audio    NotImplementedError out of agent.ainvoke
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
python3 -m venv "$here/env"
"$here/env/bin/pip" -q --disable-pip-version-check install langchain-mcp-adapters==0.3.2 mcp==1.30.0 langchain==1.5.2 \
    >/dev/null 2>&1
cat >"$here/server.py" <<'PY'
import base64

from mcp.server.fastmcp import FastMCP
from mcp.types import AudioContent, CallToolResult, TextContent

server = FastMCP("s")


@server.tool()
def weather() -> CallToolResult:
    return CallToolResult(content=[], structuredContent={"degrees": 21})


@server.tool()
def spoken() -> CallToolResult:
    sound = AudioContent(type="audio", data=base64.b64encode(b"RIFF").decode(), mimeType="audio/wav")
    return CallToolResult(content=[TextContent(type="text", text="it is warm"), sound])


server.run()
PY
cat >"$here/ask.py" <<'PY'
import asyncio
import sys

from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_mcp_adapters.client import MultiServerMCPClient


class Model(GenericFakeChatModel):
    def bind_tools(self, tools, **_):
        return self


async def said(tools, name):
    call = {"name": name, "args": {}, "id": "c1"}
    model = Model(messages=iter([AIMessage("", tool_calls=[call]), AIMessage("done")]))
    try:
        answer = await create_agent(model, tools).ainvoke({"messages": [("user", "hi")]})
    except Exception as error:
        return type(error).__name__
    result = next(m for m in answer["messages"] if m.type == "tool")
    return result.status, result.content, result.artifact


async def main():
    at = {"command": sys.executable, "args": [sys.argv[1]], "transport": "stdio"}
    tools = await MultiServerMCPClient({"s": at}).get_tools()
    for name in ("weather", "spoken"):
        print(name, await said(tools, name))


asyncio.run(main())
PY
seen=$("$here/env/bin/python" "$here/ask.py" "$here/server.py" 2>/dev/null)
printf '%s\n' "$seen"
test "$seen" = "weather ('success', [], {'structured_content': {'degrees': 21}})
spoken NotImplementedError"
