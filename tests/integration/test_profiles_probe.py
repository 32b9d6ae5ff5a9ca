"""`llm probe` against endpoints with the rules of known ones, and against what is no such endpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from nodes.llm.adapters.questions import Questions
from nodes.llm.cli import app
from nodes.llm.probe import ONE, SEVERAL, Probe, Seen
from nodes.llm.profiles import DEFAULT, PROFILES
from nodes.llm.settings import ModelEntry
from nodes.llm.verdict import conflicts, judge
from waystation.testing.endpoint_rules import RULES
from waystation.testing.model_server import ModelServer, call, calls, raw, refuse, say

KEY = "sk-probe-0123456789"


@pytest.fixture(scope="module")
def running() -> Iterator[ModelServer]:
    with ModelServer(default="OK") as server:
        yield server


@pytest.fixture
def server(running: ModelServer) -> ModelServer:
    running.reset()
    return running


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes the file of models: one model `m`."""
    monkeypatch.setenv("WAYSTATION_CONFIG_DIR", str(tmp_path))

    def write(url: str, **more: Any) -> None:
        entry = {"model_name": "scripted-1", "model_url": url, "api_key": KEY, **more}
        (tmp_path / "models.yaml").write_text(json.dumps({"models": {"m": entry}}))

    return write


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["probe", "m", *arguments])


def willing(server: ModelServer) -> None:
    """It calls the tool each time it is asked to, and thinks before it does."""
    for _ in range(20):
        server.script(call("add", {"a": 5, "b": 3}, reasoning="Add them. "), match=ONE)
    server.script(calls(("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})), match=SEVERAL)


async def asked(url: str) -> Seen:
    """What a probe of the endpoint sees."""
    entry = ModelEntry(model_name="scripted-1", model_url=url, api_key=SecretStr(KEY))
    questions = Questions(entry, seconds=60)
    try:
        return await Probe(entry, "scripted-1", questions).run()
    finally:
        await questions.aclose()


@pytest.mark.parametrize("name", sorted(RULES))
async def test_the_profile_of_the_endpoint_is_recommended(server: ModelServer, name: str) -> None:
    willing(server)
    seen = await asked(server.at(name))
    found = judge(seen, DEFAULT, "scripted-1")
    assert (found.usable, found.profile) == (True, name)
    assert judge(seen, PROFILES[name], "scripted-1").profile == name
    assert conflicts(PROFILES[name], seen, "scripted-1") == []


def test_it_costs_little(server: ModelServer, models: Any) -> None:
    willing(server)
    models(server.at("mistral"))
    found = json.loads(run("--json").stdout)
    requests = server.requests()
    assert found["questions"] == len(requests) < 20
    assert all(1 <= request["max_tokens"] <= 400 for request in requests)
    assert len(json.dumps(requests)) < 20_000


def test_what_would_not_work_is_said_in_the_endpoints_words_and_without_the_key(
    server: ModelServer, models: Any
) -> None:
    willing(server)
    models(server.at("mistral"))
    shown = run()
    assert shown.exit_code == 0
    assert "mistral fits; in use is default (by its address): set `profile: mistral`" in shown.stdout
    assert "profile default: tool-call ids have to be nine letters or digits" in shown.stdout
    assert "422 " in shown.stdout
    assert KEY not in shown.stdout


def test_a_model_that_calls_no_tool_can_be_used_and_says_so(server: ModelServer, models: Any) -> None:
    models(server.url)
    found = json.loads(run("--json").stdout)
    assert found["usable"]
    assert any("it called no tool when asked to" in problem for problem in found["problems"])


def test_a_refusal_of_every_tool_says_what_to_set(server: ModelServer, models: Any) -> None:
    server.script(*[refuse(400) for _ in range(20)], match="tool add")
    models(server.url)
    assert "it takes no tools: set `supports_tools: false`" in json.loads(run("--json").stdout)["problems"]


async def test_a_field_that_must_be_there_although_nothing_came_in_it_is_found(server: ModelServer) -> None:
    server.script(*[call("add", {"a": 5, "b": 3}) for _ in range(20)], match=ONE)
    seen = await asked(server.at("deepseek"))
    assert (seen.tool_results, seen.padding, seen.wanted) == (True, "reasoning_content", set())
    assert judge(seen, DEFAULT, "scripted-1").profile == "deepseek"


async def test_a_list_of_models_and_a_system_message_that_are_refused_stop_nothing(
    server: ModelServer,
) -> None:
    server.configure(models_status=500)
    server.script(say("OK"), refuse(400))
    seen = await asked(server.url)
    assert "500 scripted" in seen.words["models"]
    assert (seen.system, seen.streams) == (False, True)
    assert "it refuses a system message" in judge(seen, DEFAULT, "scripted-1").problems


async def test_a_limit_of_requests_is_waited_for_and_is_no_answer(server: ModelServer) -> None:
    limited = refuse(429, retry_after=0.01)
    willing(server)
    server.script(limited, match="Reply with")
    seen = await asked(server.url)
    assert (seen.stopped, seen.streams) == ("", True)
    server.reset()
    server.script(*[refuse(503, retry_after=0.01)] * 3, match=SEVERAL)
    willing(server)
    seen = await asked(server.url)
    assert seen.at_once is None
    assert judge(seen, DEFAULT, "scripted-1").problems == ()


async def test_an_endpoint_that_stops_streaming_cannot_be_used(server: ModelServer) -> None:
    server.script(say("OK"), refuse(500), refuse(500))
    seen = await asked(server.url)
    assert seen.stopped == "a plain question is refused (500)"


def test_a_model_without_tools_is_not_asked_for_any(server: ModelServer, models: Any) -> None:
    models(server.url, supports_tools=False)
    assert run("--json").exit_code == 0
    assert not [request for request in server.requests() if request.get("tools")]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (refuse(401), "our key is refused (401); check api_key"),
        (refuse(403), "our key is refused (403); check api_key"),
        (refuse(404), "no such model, or the address is wrong (404)"),
        (refuse(429, retry_after=0.01), "requests are limited (429)"),
        (refuse(500), "a plain question is refused (500)"),
    ],
)
def test_an_endpoint_that_refuses_everything_cannot_be_used(
    server: ModelServer, models: Any, script: dict[str, Any], said: str
) -> None:
    server.script(script, script, script)
    models(server.url)
    done = run("--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert not found["usable"]
    assert said in found["problems"][0]


def test_an_address_where_nobody_listens_cannot_be_used(models: Any) -> None:
    models("http://127.0.0.1:1/v1")
    done = run()
    assert done.exit_code == 1
    assert "no answer (ClientConnectorError)" in done.stdout


def test_an_answer_that_is_a_page_and_one_that_never_ends_are_no_endpoint(
    server: ModelServer, models: Any
) -> None:
    models(server.url)
    server.script(say("OK"), raw("<html>login</html>", content_type="text/html"))
    page = run("--json")
    assert page.exit_code == 1
    assert "it does not stream" in json.loads(page.stdout)["problems"]
    server.reset()
    server.script(raw("data: ", None))
    silent = run("--json", "--timeout", "1")
    assert silent.exit_code == 1
    assert json.loads(silent.stdout)["problems"] == ["no whole answer within 1 s"]


def test_what_has_no_endpoint_and_what_nobody_knows_are_refused_in_one_line(models: Any) -> None:
    models("http://127.0.0.1:1/v1")
    for name, said in (("offline", "has no endpoint to ask"), ("nope", "known: m, offline")):
        done = CliRunner().invoke(app, ["probe", name])
        assert done.exit_code == 1
        assert said in done.stderr


def test_the_endpoint_of_the_environment_is_asked_for_its_first_model(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    willing(server)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_PROFILE", "ollama")
    found = json.loads(CliRunner().invoke(app, ["probe", "openai", "--json"]).stdout)
    assert (found["model_name"], found["profile_in_use"]) == ("scripted-1", "ollama")
