"""Turns against endpoints that say odd things: right, or told, and the thread takes the next message."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.access import Principal
from core.errors import WaystationError
from graph import Agent
from nodes.llm.errors import ModelContextFull
from nodes.mcp_tools import MCPToolManager
from tests.kit.counted_tools import CountedTools
from waystation.testing.agents import open_agent
from waystation.testing.model_server import ModelServer, call, calls, raw, say

LOCAL = Principal("local")


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def model(server: ModelServer) -> ModelServer:
    server.reset()
    server.configure(rules="")
    return server


def chunk(delta: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk as endpoints send it."""
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish, **more}]}


def sent(model: ModelServer) -> list[dict[str, Any]]:
    """The messages of the last request."""
    found: list[dict[str, Any]] = model.requests()[-1]["messages"]
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'threads.db'}"
    url = request.getfixturevalue("postgres_url")
    return str(url.set(drivername="postgresql").render_as_string())


@pytest.fixture
async def agent(model: ModelServer, tmp_path: Path) -> Any:
    async with open_agent(tmp_path, model_url=model.url) as agent:
        yield agent


async def notices(agent: Agent, text: str, **options: Any) -> list[str]:
    return [e["code"] async for e in agent.stream(text, **options) if e["type"] == "notice"]


@pytest.mark.parametrize(
    "arguments",
    [
        '{"expression": NaN}',
        '{"expression": -Infinity}',
        '{"expression": {"a": [1, Infinity]}}',
        '{"expression": 1e999}',
        '{"expression": "\\ud800"}',
        '{"a": ' + "[" * 80 + "]" * 80 + "}",
    ],
)
async def test_m1_1_arguments_that_are_no_json_are_told_to_the_model(
    model: ModelServer, storage_url: str, tmp_path: Path, arguments: str
) -> None:
    model.script(call("calculator_evaluate", arguments), say("sorry"))
    async with open_agent(tmp_path, model_url=model.url, storage={"url": storage_url}) as agent:
        reply = await agent.ask("go", thread="t")
        assert [c["status"] for c in reply["tool_calls"]] == ["error"]
        assert "not a JSON object" in sent(model)[-1]["content"]
        assert (await agent.ask("again", thread="t"))["status"] == "done"
        assert len((await agent.threads.transcript(LOCAL, "t"))["messages"]) == 6


async def test_m1_2_an_integer_of_more_than_64_bits_is_told_to_the_model(
    model: ModelServer, storage_url: str, tmp_path: Path
) -> None:
    model.script(call("calculator_evaluate", '{"expression": 123456789012345678901234567890}'), say("sorry"))
    async with open_agent(tmp_path, model_url=model.url, storage={"url": storage_url}) as agent:
        reply = await agent.ask("go", thread="t")
        assert (reply["answer"], reply["tool_calls"][0]["status"]) == ("sorry", "error")
        assert (await agent.ask("again", thread="t"))["status"] == "done"


async def test_m1_text_and_names_that_no_store_holds_are_cleaned(
    model: ModelServer, storage_url: str, tmp_path: Path
) -> None:
    deltas = (
        r'{"content": "a\u0000b \ud800", "reasoning_content": "\udc00"}',
        r'{"content": "\ud83d"}',
        r'{"content": "\ude00"}',
    )
    lines = ['data: {"choices": [{"delta": ' + delta + "}]}\n\n" for delta in deltas]
    end = r'data: {"choices": [{"delta": {}, "finish_reason": "\ud800stop\u0000"}]}'
    model.script(raw(*lines, end + "\n\n", "data: [DONE]\n\n"))
    async with open_agent(tmp_path, model_url=model.url, storage={"url": storage_url}) as agent:
        reply = await agent.ask("go", thread="t")
        assert reply["answer"] == "a\ufffdb ?\U0001f600"
        messages = (await agent.threads.transcript(LOCAL, "t"))["messages"]
        assert messages[-1]["text"] == reply["answer"]


async def test_m2_1_tool_call_ids_of_an_endpoint_go_back_as_they_came(
    agent: Agent, model: ModelServer
) -> None:
    for call_id in ("D681PevKs", "call_0", "functions.calculator_add:0", "x" * 300):
        model.script(call("calculator_add", {"a": 5, "b": 3}, ids=[call_id]), say("8"))
        reply = await agent.ask("add", thread=call_id[:9].replace(".", "_"))
        *_, asked, result = sent(model)
        assert asked["tool_calls"][0]["id"] == result["tool_call_id"] == call_id
        assert len(reply["tool_calls"][0]["id"]) <= 64


async def test_m2_1_ids_of_our_own_are_nine_letters_and_digits(agent: Agent, model: ModelServer) -> None:
    model.script(calls(*[("calculator_add", {"a": n, "b": 1}) for n in range(2)], ids=["", ""]), say("done"))
    await agent.ask("add", thread="t")
    ids = [c["id"] for c in sent(model)[-3]["tool_calls"]]
    assert len(set(ids)) == 2
    assert all(len(one) == 9 and one.isalnum() for one in ids)


async def test_m2_1_an_endpoint_that_counts_from_zero_in_each_answer_mixes_nothing_up(
    agent: Agent, model: ModelServer
) -> None:
    for n in range(3):
        model.script(call("calculator_add", {"a": n, "b": n}, ids=["call_0"]), say(str(n)))
        await agent.ask("add", thread="t")
    messages = (await agent.threads.transcript(LOCAL, "t"))["messages"]
    results = [m for m in messages if m["role"] == "tool"]
    assert len({m["tool_call_id"] for m in results}) == len(results) == 3
    assert len({m["tool_call_id"] for m in sent(model) if m["role"] == "tool"}) == 3


async def test_m2_2_reasoning_goes_back_with_the_calls_that_came_of_it(
    agent: Agent, model: ModelServer
) -> None:
    model.script(call("calculator_add", {"a": 5, "b": 3}, reasoning="five and three"), say("8"))
    await agent.ask("add", thread="t")
    assert sent(model)[-2]["reasoning_content"] == "five and three"


async def test_m2_2_signatures_of_calls_go_back_as_they_came(agent: Agent, model: ModelServer) -> None:
    function = {"name": "calculator_add", "arguments": '{"a": 5, "b": 3}'}
    seal = {"google": {"thought_signature": "c2lnbmVk"}}
    one = {"index": 0, "id": "abc123xyz", "type": "function", "function": function, "extra_content": seal}
    details = [
        {"type": "reasoning.text", "text": t, "index": 0, "signature": s}
        for t, s in (("a", None), ("b", "s"))
    ]
    parts = [chunk({"reasoning_details": [detail]}) for detail in details]
    model.script(
        raw(*parts, chunk({"tool_calls": [one]}), chunk({}, "tool_calls"), "data: [DONE]\n\n"), say("8")
    )
    await agent.ask("add", thread="t")
    assert sent(model)[-2]["tool_calls"][0]["extra_content"] == seal
    assert sent(model)[-2]["reasoning_details"] == [
        {"type": "reasoning.text", "text": "ab", "index": 0, "signature": "s"}
    ]


@pytest.mark.parametrize("text", ["", " \n"])
async def test_m3_1_an_empty_answer_is_told_and_left_out_of_the_next_prompt(
    agent: Agent, model: ModelServer, text: str
) -> None:
    model.script(say(text))
    assert "empty_answer" in await notices(agent, "hello", thread="t")
    model.script(say("here"))
    assert (await agent.ask("again", thread="t"))["answer"] == "here"
    assert [m["content"] for m in sent(model) if m["role"] != "system"] == ["hello", "again"]


async def test_m3_2_a_conversation_that_is_too_long_loses_its_oldest_turns_and_is_sent_again(
    agent: Agent, model: ModelServer
) -> None:
    model.configure(rules="openrouter", context=12_000)
    for n in range(3):
        model.script(say(f"answer {n}"))
        reply = await agent.ask(f"question {n} " + "x" * 4_000, thread="t")
        assert reply["answer"] == f"answer {n}"
    assert "context_trimmed" in await notices(agent, "y" * 4_000, thread="t")
    assert (await agent.ask("short now", thread="t"))["status"] == "done"
    system, *said = sent(model)
    assert said[-1]["content"] == "short now"
    assert said[0]["role"] == "user"
    assert "question 0" in system["content"]


async def test_m3_2_a_message_that_is_too_long_by_itself_is_refused_and_left_out_of_the_next_prompt(
    agent: Agent, model: ModelServer
) -> None:
    model.configure(rules="openrouter", context=12_000)
    model.script(say("noted"))
    await agent.ask("my name is Ada", thread="t")
    with pytest.raises(ModelContextFull, match="message is longer than the model"):
        await agent.ask("z" * 20_000, thread="t")
    asked = len(model.requests())
    assert (await agent.ask("short now", thread="t"))["status"] == "done"
    assert len(model.requests()) == asked + 1
    assert [m["content"] for m in sent(model) if m["role"] != "system"] == [
        "my name is Ada",
        "noted",
        "short now",
    ]
    assert (await agent.ask("and on", thread="t"))["status"] == "done"
    assert not any("zzz" in str(m["content"]) for m in sent(model))
    messages = (await agent.threads.transcript(LOCAL, "t"))["messages"]
    assert any(m["text"].startswith("zzz") for m in messages)


async def test_m4_3_an_answer_that_its_endpoint_broke_off_is_told(agent: Agent, model: ModelServer) -> None:
    for reason in ("error", "abort"):
        model.script(raw(chunk({"content": "half an "}), chunk({}, reason), "data: [DONE]\n\n"))
        with pytest.raises(WaystationError) as broken:
            await agent.ask("go", thread=reason)
        assert broken.value.code == "model_stream_cut"
        assert reason in broken.value.detail
        messages = (await agent.threads.transcript(LOCAL, reason))["messages"]
        assert messages[-1]["text"] == "half an "
        assert (await agent.ask("again", thread=reason))["status"] == "done"


async def test_m5_5_reasoning_between_tags_is_no_answer(agent: Agent, model: ModelServer) -> None:
    model.script(
        raw(
            *[chunk({"content": t}) for t in ("<thi", "nk>pl", "an</th", "ink>\n\nHel", "lo")],
            chunk({}, "stop"),
        )
    )
    events = [e async for e in agent.stream("go", thread="t")]
    assert "".join(e["delta"] for e in events if e["type"] == "reasoning") == "plan"
    assert events[-1]["answer"] == "Hello"
    await agent.ask("again", thread="t")
    assert sent(model)[-2] == {"role": "assistant", "content": "Hello"}


async def test_m3_2_a_turn_whose_calls_fill_the_context_ends_and_is_not_forgotten(
    model: ModelServer, tmp_path: Path
) -> None:
    tools = CountedTools(tmp_path / "home")
    async with open_agent(tmp_path, model_url=model.at("vllm"), mcp={"start_timeout_s": 60}) as agent:
        await (await agent.container.get(MCPToolManager)).tools("counted")
        model.configure(context=12_000)
        model.script(*[call("counted_book", {"boat": f"{n}" + "b" * 4000}) for n in range(5)], say("booked"))
        reply = await agent.ask("book them", thread="t")
        assert (reply["answer"], len(tools.made)) == ("booked", 5)
        assert [made["arguments"]["boat"][:2] for made in reply["tool_calls"]] == [f"{n}b" for n in range(5)]
        model.configure(context=1500)
        many = [("counted_book", {"boat": f"{n:03}" + "c" * 150}) for n in range(12)]
        model.script(calls(*many), say("said later"))
        with pytest.raises(ModelContextFull, match="stay in the thread") as refused:
            await agent.ask("book", thread="u")
        assert "message is longer" not in refused.value.detail
        model.configure(context=0)
        await agent.ask("and?", thread="u")
        results = [message["content"][:14] for message in sent(model) if message["role"] == "tool"]
        assert results == [f"booked for {n:03}" for n in range(12)]


async def test_an_endpoint_that_wants_roles_in_turn_is_given_them_once_it_says_so(
    agent: Agent, model: ModelServer
) -> None:
    model.configure(rules="mistral")
    model.script(say("half", cut_after=1), say("whole"))
    with pytest.raises(WaystationError):
        await agent.ask("one", thread="t")
    assert (await agent.ask("two", thread="t"))["answer"] == "whole"
    assert [message["role"] for message in sent(model)] == ["system", "user"]
    assert sent(model)[-1]["content"] == "one\n\ntwo"
