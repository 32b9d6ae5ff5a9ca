"""What the client of mcp 2 sees at an address: `python mcp2_client.py URL auto|legacy`, told as JSON."""

import json
import sys
from typing import Any

import anyio
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult

seen: dict[str, Any] = {"asked": [], "progress": []}


async def elicit(_: Any, params: Any) -> ElicitResult:
    seen["asked"].append(params.message)
    return ElicitResult(action="accept", content={"approve": True})


async def progress(done: float, _: Any, message: str | None) -> None:
    seen["progress"].append([done, message])


async def main() -> None:
    url, mode = sys.argv[1:]
    async with Client(url, mode=mode, elicitation_callback=elicit) as client:
        seen["version"] = client.protocol_version
        seen["tools"] = [tool.name for tool in (await client.list_tools()).tools]
        plain = await client.call_tool("ask", {"message": f"{mode} plain"}, progress_callback=progress)
        seen["plain"] = plain.structured_content
        approved = await client.call_tool("ask", {"message": f"{mode} approval"})
        seen["approved"] = approved.structured_content
        seen["found"] = (await client.call_tool("search", {"query": "berth"})).structured_content
        seen["resources"] = [str(each.uri) for each in (await client.list_resources()).resources]
        thread = await client.read_resource(f"waystation://threads/{plain.structured_content['thread_id']}")
        seen["thread"] = [each.mime_type for each in thread.contents]
        seen["prompts"] = [each.name for each in (await client.list_prompts()).prompts]
        prompt = await client.get_prompt("ask_sources", {"question": "How long?"})
        seen["prompt"] = prompt.messages[0].content.text
        seen["wrong"] = (await client.call_tool("ask", {"message": "hi", "model": "nope"})).is_error
        try:
            await client.read_resource("waystation://threads/nope")
        except MCPError as error:
            seen["missing"] = error.error.data["code"]
    print(json.dumps(seen))


anyio.run(main)
