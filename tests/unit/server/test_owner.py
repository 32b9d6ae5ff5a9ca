"""A command of the same user has its turn in the running service, where that has the same settings."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core import sockets
from core.access import Principal
from core.choices import DEFAULT
from core.errors import InvalidInput, Unavailable, WaystationError
from core.settings import Context
from graph import Agent
from server.cli.ask import Question, talk
from server.cli.turns import LocalTurns, ServiceTurns, Turns, opened_turns
from server.owner import open_to_owner
from server.private import mark_of, socket_in
from waystation.testing.agents import write_config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sockets.AVAILABLE, reason="this system has no Unix sockets"),
]

LOCAL = Principal("local")
URL = "http://127.0.0.1:1"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WAYSTATION_CONFIG_DIR", str(write_config(tmp_path, sources=False)))
    monkeypatch.setenv("WAYSTATION_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WAYSTATION_MCP__BUNDLED", "false")
    return tmp_path / "home"


@pytest.fixture
async def service(home: Path) -> AsyncIterator[Agent]:
    async with Agent.open() as agent, open_to_owner(agent, URL):
        assert socket_in(home).exists()
        yield agent


async def told(turns: Turns, **words: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    run = await turns.begin({"choices": DEFAULT.as_json(), **words})
    try:
        return [event async for event in run.events()], await run.result()
    finally:
        run.leave()


@pytest.mark.usefixtures("service")
async def test_a_turn_goes_through_the_service_and_the_command_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await talk(Question("Hello", thread="t"), here=False, as_json=True)
    said = capsys.readouterr()
    assert json.loads(said.out)["thread_id"] == "t"
    assert said.err == f"through the service at {URL}; --here asks in this process\n"


async def test_its_events_and_its_reply_are_those_of_a_turn_here(service: Agent) -> None:
    async with opened_turns("") as turns:
        assert isinstance(turns, ServiceTurns)
        events, reply = await told(turns, message="Hello", thread="far")
        again, _ = await told(turns, message="And more", thread="far")
    async with opened_turns("", here=True) as turns:
        assert isinstance(turns, LocalTurns)
        ours, own = await told(turns, message="Hello", thread="near")
    assert [event["type"] for event in events] == [event["type"] for event in ours]
    assert reply["answer"] == own["answer"]
    assert reply.keys() == own.keys()
    assert again[-1]["type"] == "done"


async def test_a_file_goes_along_and_belongs_to_whoever_asks(service: Agent, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(os.urandom(700_000))
    async with opened_turns("ada", ["staff"]) as turns:
        key = await turns.upload(tmp_path / "a.txt")
        _, reply = await told(turns, message="What is in it?", files=[key])
        with pytest.raises(InvalidInput, match=r"there is no file 'nothing\.txt'"):
            await turns.upload(tmp_path / "nothing.txt")
    thread = reply["thread_id"]
    async with opened_turns("bob") as turns:
        with pytest.raises(WaystationError) as caught:
            await told(turns, message="Mine?", thread=thread)
    assert caught.value.code == "thread_not_found"


async def test_a_refusal_has_its_code_its_kind_and_its_words(service: Agent) -> None:
    async with opened_turns("") as turns:
        for words, code in (
            ({"message": "hi", "choices": {"model": "nope"}}, "unknown_model"),
            ({"message": ""}, "invalid_input"),
            ({"message": "hi", "thread": "a/b"}, "invalid_id"),
        ):
            with pytest.raises(WaystationError) as caught:
                await told(turns, **words)
            assert caught.value.code == code
        with pytest.raises(WaystationError) as caught:
            _ = [event async for event in (await turns.resume("r_nothing", None)).events()]
        assert caught.value.code == "run_not_found"
        with pytest.raises(InvalidInput):
            await told(turns, message="")
        assert (await told(turns, message="Still there?"))[1]["status"] == "done"


async def test_a_file_that_is_too_large_is_refused_and_the_next_request_is_read(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYSTATION_FILE_STORAGE__MAX_BYTES", "2048")
    (tmp_path / "big").write_bytes(bytes(900_000))
    async with Agent.open() as agent, open_to_owner(agent, URL), opened_turns("") as turns:
        with pytest.raises(WaystationError) as caught:
            await turns.upload(tmp_path / "big")
        assert caught.value.code == "file_too_large"
        assert (await told(turns, message="Hello"))[1]["status"] == "done"


@pytest.mark.usefixtures("service")
async def test_another_configuration_is_answered_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WAYSTATION_LIMITS__STEPS", "3")
    async with opened_turns("") as turns:
        assert isinstance(turns, LocalTurns)
    assert "not answer for this configuration" in capsys.readouterr().err


def test_a_mark_tells_configurations_apart_and_nothing_else(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Path(os.environ["WAYSTATION_CONFIG_DIR"])
    (config / "models.yaml").write_text("models: {m: {model: x, url: 'http://m', api_key: '${MY_KEY}'}}")
    before = mark_of(Context.current())
    for name in ("TERM", "WAYSTATION_SERVER__PORT", "WAYSTATION_TELEMETRY__LOG_LEVEL"):
        monkeypatch.setenv(name, "7")
        assert mark_of(Context.current(server={"port": 1})) == before
    for name in ("MY_KEY", "OPENAI_API_KEY", "WAYSTATION_LLM__OFFLINE"):
        monkeypatch.setenv(name, "other")
        after = mark_of(Context.current())
        assert after != before
        before = after


async def test_a_service_that_stops_is_told_and_its_socket_goes(home: Path) -> None:
    async with Agent.open() as agent:
        async with open_to_owner(agent, URL), opened_turns("") as turns:
            assert stat.S_IMODE(socket_in(home).stat().st_mode) == 0o600
            assert isinstance(turns, ServiceTurns)
        with pytest.raises((Unavailable, OSError)):
            await told(turns, message="Hello")
    assert not socket_in(home).exists()


async def test_a_service_that_drains_or_does_not_greet_is_not_asked(
    service: Agent, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.drain(seconds=0)
    async with opened_turns("") as turns:
        assert isinstance(turns, LocalTurns)
    monkeypatch.setattr("server.cli.turns.GREETING_SECONDS", 0.2)
    mute = home / "mute"
    with sockets.listening(socket_in(mute)):
        monkeypatch.setenv("WAYSTATION_HOME", str(mute))
        async with opened_turns("") as turns:
            assert isinstance(turns, LocalTurns)


async def test_the_first_of_two_services_on_a_home_is_asked(service: Agent) -> None:
    async with open_to_owner(service, "http://other"), opened_turns("") as turns:
        assert isinstance(turns, ServiceTurns)


async def test_a_command_that_leaves_ends_its_turn(service: Agent) -> None:
    async with opened_turns("") as turns:
        run = await turns.begin({"message": "Hello", "thread": "left", "choices": {}})
        async for _ in run.events():
            break
    async with asyncio.timeout(30):
        while (await service.threads.list(LOCAL, limit=1))[0]["status"] == "running":  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # the end of another connection has no event here


@pytest.mark.usefixtures("service")
async def test_what_is_no_word_of_ours_ends_the_conversation(home: Path) -> None:
    for words in (b"", b"nonsense\n", b"[]\n", b'{"mark": "x"}\n', b"GET / HTTP/1.1\r\n"):
        with sockets.address(socket_in(home)) as where:
            reader, writer = await asyncio.open_unix_connection(where)
        writer.write(words)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
    mark = mark_of(Context.current())
    with sockets.address(socket_in(home)) as where:
        reader, writer = await asyncio.open_unix_connection(where)
    writer.write(json.dumps({"mark": mark, "user": "not a user"}).encode() + b"\n")
    assert await reader.read() == b""
    writer.close()
