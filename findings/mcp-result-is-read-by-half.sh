#!/bin/sh
# pydantic-ai 2.68.0 and @ai-sdk/mcp 2.0.99 (ai 7.0.173), one MCP server: a result that says something in words and something
# else in structuredContent, as the protocol lets it (the text SHOULD repeat the structure, and may say more). pydantic-ai gives its
# model the structure and drops the words, the AI SDK the words and drops the structure; neither says so. Whoever
# writes a server cannot put anything into one of the two alone. And a result with isError, which pydantic-ai hands to its
# model as a failure, is a tool-result like any other in the AI SDK: no tool-error in the step, no mark in what the model is
# sent, so a page, a count of failures and a provider that has a flag for it take a failed tool for a good one.
# Seen: pydantic-ai {'degrees': 21}, and a retry with "no such city"; ai-sdk "storm from noon", and tool-result "no such city".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check "pydantic-ai-slim[mcp]==2.68.0" "fastmcp==4.2.3" "mcp==2.3.0" 2> /dev/null
npm init -y > /dev/null
npm install --ignore-scripts --no-audit --no-fund --loglevel=error "@ai-sdk/mcp@2.0.99" "ai@7.0.173" "zod@4.6.7" > /dev/null
cat > server.py <<'PY'
from fastmcp import FastMCP
from fastmcp.tools import ToolResult
from mcp_types import TextContent

server = FastMCP("weather")


def words(text):
    return [TextContent(type="text", text=text)]


@server.tool()
def both() -> ToolResult:
    return ToolResult(content=words("storm from noon"), structured_content={"degrees": 21})


@server.tool()
def failed() -> ToolResult:
    return ToolResult(content=words("no such city"), is_error=True)


server.run(show_banner=False)
PY
cat > read.py <<'PY'
import asyncio

from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel


async def ask(tool):
    def model(messages, info):
        if len(messages) == 1:
            return ModelResponse(parts=[ToolCallPart(tool, {})])
        [read] = messages[-1].parts
        print("pydantic-ai", tool, type(read).__name__, getattr(read, "outcome", ""), read.content)
        return ModelResponse(parts=[TextPart("end")])

    await Agent(FunctionModel(model), toolsets=[MCPToolset(StdioTransport("env/bin/python", ["server.py"]))]).run("go")


for tool in ("both", "failed"):
    asyncio.run(ask(tool))
PY
cat > read.mjs <<'JS'
import { createMCPClient } from "@ai-sdk/mcp";
import { Experimental_StdioMCPTransport as Stdio } from "@ai-sdk/mcp/mcp-stdio";
import { generateText, stepCountIs } from "ai";
import { MockLanguageModelV4 } from "ai/test";

const transport = new Stdio({ command: "env/bin/python", args: ["server.py"], stderr: "ignore" });
const client = await createMCPClient({ transport, protocolVersionDiscovery: false });
const tools = await client.tools();
const usage = { inputTokens: { total: 1 }, outputTokens: { total: 1 } };
for (const toolName of ["both", "failed"]) {
  let read;
  const model = new MockLanguageModelV4({
    doGenerate: async ({ prompt }) => {
      const last = prompt.at(-1);
      if (last.role === "tool") read = last.content[0].output.value.map((part) => part.text).join();
      const content = read ? [{ type: "text", text: "end" }] : [{ type: "tool-call", toolCallId: "c", toolName, input: "{}" }];
      return { content, usage, warnings: [], finishReason: { unified: read ? "stop" : "tool-calls", raw: "" } };
    },
  });
  const { steps } = await generateText({ model, tools, prompt: "go", stopWhen: stepCountIs(3) });
  console.log("ai-sdk", toolName, steps[0].content.at(-1).type, read);
}
await client.close();
process.exit(0);
JS
seen=$(env/bin/python -W ignore read.py 2> /dev/null && node read.mjs 2> /dev/null)
printf '%s\n' "$seen"
test "$seen" = "pydantic-ai both ToolReturnPart success {'degrees': 21}
pydantic-ai failed ToolReturnPart retried no such city
ai-sdk both tool-result storm from noon
ai-sdk failed tool-result no such city"
