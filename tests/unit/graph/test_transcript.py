"""The whole conversation, on each database."""

from __future__ import annotations

from langchain_core.messages import AIMessage
from sqlalchemy.engine import URL

from graph.database import opened_database
from graph.transcript import Transcript


async def test_a_message_stands_once_and_pages_go_back_from_the_newest(database: URL) -> None:
    messages = [AIMessage(f"answer {n}", id=f"m{n}") for n in range(5)]
    async with opened_database(database) as engine:
        transcript = Transcript(engine)
        await transcript.append("t", "r1", messages[:3])
        await transcript.append("t", "r2", messages, {"m4": {"citations": []}})
        newest = await transcript.page("t", limit=3, before=None)
        older = await transcript.page("t", limit=3, before=newest["before"])
    assert [m["id"] for m in [*older["messages"], *newest["messages"]]] == ["m0", "m1", "m2", "m3", "m4"]
    assert older["before"] is None
    assert newest["messages"][-1]["citations"] == []


async def test_what_a_model_says_is_stored_whatever_characters_it_has(database: URL) -> None:
    odd = AIMessage("a\x00b \ud800", id="m")
    odd.tool_calls = [{"name": "echo", "args": {"text": "c\x00d"}, "id": "c1", "type": "tool_call"}]
    async with opened_database(database) as engine:
        await Transcript(engine).append("t", "r", [odd])
        (message,) = (await Transcript(engine).page("t", limit=1, before=None))["messages"]
    assert message["text"] == "a\ufffdb ?"
    assert message["tool_calls"][0]["arguments"] == {"text": "c\x00d"}
