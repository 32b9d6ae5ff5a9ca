"""The whole conversation, on each database."""

from __future__ import annotations

from typing import Any

import orjson
from langchain_core.messages import AIMessage
from sqlalchemy import text
from sqlalchemy.engine import URL

from graph.db.database import opened_database
from graph.threads.transcript import Transcript


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


async def test_m1_1_one_bad_row_breaks_neither_a_transaction_nor_a_list(database: URL) -> None:
    odd = AIMessage("a", id="m")
    args: dict[Any, Any] = {
        "nan": float("nan"),
        "big": 2**80,
        "half": "\ud800",
        "deep": [[1]],
        5: {"set": (1, 2)},
    }
    odd.tool_calls = [{"name": "echo", "args": args, "id": "c1", "type": "tool_call"}]
    old = '{"tool_calls": [{"id": "c", "name": "n", "arguments": {"a": NaN, "b": "\\ud800"}}]}'
    async with opened_database(database) as engine:
        transcript = Transcript(engine)
        await transcript.append("t", "r", [odd, AIMessage("b", id="n")], {"m": {"score": float("inf")}})
        if database.get_backend_name() == "sqlite":  # PostgreSQL never took such a row
            async with engine.begin() as db:
                await db.execute(
                    text("UPDATE transcript SET extra = :old WHERE message_id = 'n'"), {"old": old}
                )
        first, second = (await transcript.page("t", limit=9, before=None))["messages"]
    assert orjson.loads(orjson.dumps([first, second]))
    assert first["tool_calls"][0]["arguments"]["big"] == str(2**80)
    if database.get_backend_name() == "sqlite":
        assert second["tool_calls"][0]["arguments"] == {"a": "NaN", "b": "?"}
