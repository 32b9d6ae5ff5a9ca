#!/bin/sh
# langchain 1.5.2 (langchain.mcp, langgraph 1.2.24) with mcp 2.3.0: what an MCP server asks in the middle of a call is an
# interrupt(), and the answer makes the call again from its beginning. The server asks anew, and its question need not be the
# one that a person read: a price has moved, a draft has grown, a pause lasts days. The answer is handed to whatever is asked
# now, under the server's key, which names the place of the question and not its words. Nothing is raised, and no one is asked.
# The server has a guard against just this: it seals its question's words into requestState and asks again where they have
# changed. It sees the new question's own seal, made a moment before. A client that keeps the call open and sends the state
# of the question that was read (fastmcp 4.2.3) is asked again.
# Who serves such pauses stores the question's words beside the answer and asks again where they differ.
# Seen:  langchain.mcp  read 'Book the room for 100 EUR?', answered yes: booked for 180 EUR
#        fastmcp        read the same, answered yes, then read 'Book the room for 180 EUR?'
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "langchain==1.5.2" "langgraph==1.2.24" "fastmcp==4.2.3" \
    "mcp==2.3.0" 2> /dev/null
cat > "$folder/book.py" <<'PY'
import asyncio
from typing import Annotated

from fastmcp import Client
from langchain.agents import create_agent
from langchain.mcp import MCPAdapter
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from mcp.server.mcpserver import Elicit, MCPServer, Resolve
from pydantic import BaseModel

hotel, price = MCPServer("hotel", log_level="ERROR"), {"room": 100}


class Yes(BaseModel):
    book: bool


async def confirm() -> Elicit[Yes]:
    return Elicit(f"Book the room for {price['room']} EUR?", Yes)


@hotel.tool()
async def book(yes: Annotated[Yes, Resolve(confirm)]) -> str:
    """Book the room."""
    return f"booked for {price['room']} EUR" if yes.book else "not booked"


class Model(GenericFakeChatModel):
    def bind_tools(self, tools, **more):
        return self


async def with_an_interrupt() -> tuple[list[str], str]:
    price["room"] = 100
    says = [AIMessage("", tool_calls=[{"name": "book", "args": {}, "id": "c1"}]), AIMessage("Done.")]
    config = {"configurable": {"thread_id": "t"}}
    async with MCPAdapter(hotel) as adapter:
        agent = create_agent(Model(messages=iter(says)), await adapter.list_tools(), checkpointer=InMemorySaver())
        state = await agent.ainvoke({"messages": [("user", "Book it.")]}, config)
        read = []
        while waiting := state.get("__interrupt__"):
            [request] = waiting[0].value["requests"]
            read.append(request["message"])
            price["room"] = 180
            answer = {request["key"]: {"action": "accept", "content": {"book": True}}}
            state = await agent.ainvoke(Command(resume={"responses": answer}), config)
    return read, state["messages"][-2].text


async def with_the_call_kept_open() -> tuple[list[str], str]:
    price["room"], read = 100, []

    async def person(message, response_type, params, context):
        read.append(message)
        price["room"] = 180
        return {"book": True}

    async with Client(hotel, elicitation_handler=person) as client:
        return read, (await client.call_tool("book", {})).content[0].text


first, second = "Book the room for 100 EUR?", "Book the room for 180 EUR?"
paused, open_ = asyncio.run(with_an_interrupt()), asyncio.run(with_the_call_kept_open())
print("langchain.mcp", *paused, sep="\n  ")
print("fastmcp", *open_, sep="\n  ")
assert paused == ([first], "booked for 180 EUR"), paused
assert open_ == ([first, second], "booked for 180 EUR"), open_
PY
"$folder/env/bin/python" -W ignore "$folder/book.py"
