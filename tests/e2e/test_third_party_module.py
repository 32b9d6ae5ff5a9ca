"""A module that is installed as a package of its own: tests/sample-module, in real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit.http import data_of
from tests.kit.sample_module import required_at
from tests.kit.steps import FIVE
from waystation.testing.agents import write_config
from waystation.testing.packages import InstalledPackage
from waystation.testing.service import Service, run


class Machine:
    """A machine that has the module: a configuration, a home, and commands on them."""

    def __init__(self, folder: Path, module: InstalledPackage, **files: str) -> None:
        self.home = folder / "home"
        self.config = write_config(folder, sources=False, files={f"{k}.yaml": v for k, v in files.items()})
        self.env = {**module.environ, "WAYSTATION_MCP__BUNDLED": "false"}  # no servers to wait for

    def run(self, *words: str, code: int = 0, env: Mapping[str, str] | None = None) -> str:
        """What the command prints, on stderr where it fails."""
        done = run(*words, home=self.home, config_dir=self.config, env={**self.env, **(env or {})})
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr if code else done.stdout

    def modules(self, **env: str) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in json.loads(self.run("modules", "--json", env=env))}

    def service(self, **env: str) -> Service:
        return Service(self.home, config_dir=self.config, env={**self.env, **env})

    @contextmanager
    def serving(self, **env: str) -> Iterator[httpx.Client]:
        with self.service(**env) as service, httpx.Client(base_url=service.url, timeout=60) as http:
            yield http


@pytest.fixture
def machine(tmp_path: Path, sample_module: InstalledPackage) -> Machine:
    return Machine(tmp_path, sample_module, greetings="greetings:\n  de: Guten Tag\n")


KEYS = {"WAYSTATION_AUTH__MODE": "keys"}
STEPS = ["greet", "guard", *(f"{side}_{name}" for name in FIVE for side in ("before", "after"))]
REFUSED = "nobody is in the mood for greetings; set greeter.start to ready"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, sample_module: InstalledPackage) -> Machine:
    text = "greeter:\n  word: Ahoy\n"
    return Machine(tmp_path_factory.mktemp("house"), sample_module, waystation=text)


@pytest.fixture(scope="module")
def http(house: Machine) -> Iterator[httpx.Client]:
    """A service that has the module, as ada, who may ask turns and look at its health."""
    words = ("keys", "create", "--user", "ada", "--scope", "use", "--scope", "operate", "--json")
    key = json.loads(house.run(*words, env=KEYS))["key"]
    with (
        house.service(**KEYS) as service,
        httpx.Client(base_url=service.url, headers={"authorization": f"Bearer {key}"}, timeout=60) as client,
    ):
        yield client


def turn(http: httpx.Client, message: str, thread: str) -> list[dict[str, Any]]:
    body = {"input": {"message": message}, "config": {"configurable": {"thread_id": thread}}}
    return data_of(http.post("/agent/stream", json=body).raise_for_status().text)


def greetings(events: list[dict[str, Any]]) -> list[str]:
    return [event["detail"] for event in events if event.get("code") == "greeting"]


def test_it_is_listed_with_all_that_it_brings(machine: Machine) -> None:
    row = machine.modules()["greeter"]
    assert row == {
        "name": "greeter",
        "version": "1.2.0",
        "state": "healthy",
        "reason": "",
        "required": False,
        "needs": [],
        "command": "greeter",
        "node": "greet",
        "steps": STEPS,
        "sections": ["greeter"],
        "files": ["greetings"],
        "tasks": ["greet_later"],
        "summary": "Greets people",
    }


def test_its_commands_are_there_and_read_its_section_and_its_file(machine: Machine) -> None:
    said = machine.run("greeter", "hello", "Ada", "--json", env={"WAYSTATION_GREETER__WORD": "Good day"})
    assert json.loads(said) == {"text": "Good day, Ada!"}
    refusal = machine.run("greeter", "hello", "Ada", "--language", "fr", code=1)
    assert refusal == "greeter_unknown_language: no greeting in 'fr'; known: de\n"


def test_its_section_is_validated_with_the_others(tmp_path: Path, sample_module: InstalledPackage) -> None:
    broken = "server:\n  port: 0\ngreeter:\n  wrod: Hi\n"
    machine = Machine(tmp_path, sample_module, waystation=broken, greetings="greeting: {}\n")
    told = machine.run("check", code=1)
    assert "waystation.yaml:4: greeter.wrod" in told
    assert "did you mean 'word'?" in told
    assert "greetings.yaml:1: greeting" in told
    assert "did you mean 'greetings'?" in told


def test_check_tells_of_its_health(machine: Machine) -> None:
    report = json.loads(machine.run("check", "--json"))
    assert report["ready"] is True
    assert report["modules"]["greeter"]["details"] == {"greeted": 0, "languages": ["de"]}


def test_its_step_runs_in_a_turn_after_the_one_that_it_follows(http: httpx.Client) -> None:
    events = turn(http, "Good morning", "steps")
    assert greetings(events) == ["Ahoy, ada!"]
    places = [(event["type"], event.get("code")) for event in events]
    assert places.index(("config", None)) < places.index(("notice", "greeting"))
    assert places.index(("notice", "greeting")) < places.index(("token", None))
    assert events[-1]["status"] == "done"
    assert greetings(turn(http, "And now?", "steps")) == []


def test_its_routes_know_the_caller_and_are_closed_to_others(http: httpx.Client) -> None:
    assert http.get("/greeter/hello").json() == {"text": "Ahoy, ada!"}
    assert http.get("/greeter/hello", params={"language": "fr"}).status_code == 404
    stranger = httpx.get(http.base_url.join("/greeter/hello"))
    assert (stranger.status_code, stranger.json()["code"]) == (401, "not_authenticated")
    assert "/greeter/hello" in http.get("/openapi.json").json()["paths"]


def test_its_events_reach_its_subscriber_and_the_audit_log(http: httpx.Client, house: Machine) -> None:
    before = http.get("/greeter/tally").json()["greeted"]
    turn(http, "Good morning", "counted")
    assert http.get("/greeter/tally").json()["greeted"] == before + 1
    lines = [json.loads(line) for line in (house.home / "logs" / "audit.jsonl").read_text().splitlines()]
    (line,) = [line for line in lines if line["what"] == "Greeted" and line.get("thread_id") == "counted"]
    assert (line["who"], line["details"]) == ("ada", {"language": ""})


def test_its_task_is_run_by_the_service(http: httpx.Client, house: Machine) -> None:
    before = http.get("/greeter/tally").json()["greeted"]
    record = json.loads(house.run("tasks", "run", "greet_later", '{"user": "bob"}', "--wait", "30", "--json"))
    assert (record["status"], record["attempts"]) == ("done", 1)
    assert http.get("/greeter/tally").json()["greeted"] == before + 1


def test_switched_off_it_is_gone_but_its_settings_may_stay(
    tmp_path: Path, sample_module: InstalledPackage
) -> None:
    text = "modules:\n  disabled: [greeter]\ngreeter:\n  word: Hi\n"
    machine = Machine(tmp_path, sample_module, waystation=text)
    assert _reason(machine.modules()) == ("disabled", "modules.disabled names it")
    with machine.serving() as http:
        assert http.get("/greeter/hello").json()["code"] == "no_such_route"
        assert "greeter" not in http.get("/health").json()["modules"]
        assert greetings(turn(http, "Good morning", "without")) == []


def test_one_that_does_not_start_leaves_the_service_up_and_says_why(machine: Machine) -> None:
    with machine.serving(WAYSTATION_GREETER__START="refused") as http:
        health = http.get("/health").json()
        assert health["status"] == "degraded"
        assert _reason(health["modules"]) == ("failed", f"it did not start: {REFUSED}")
        assert http.get("/health/ready").status_code == 200
        events = turn(http, "Good morning", "without")
        assert events[-1]["status"] == "done"
        assert greetings(events) == []
        assert http.get("/greeter/hello").status_code == 404


def test_one_that_hangs_at_its_start_costs_its_deadline_and_no_more(machine: Machine) -> None:
    hanging = machine.modules(WAYSTATION_GREETER__START="hangs")
    assert _reason(hanging) == ("failed", "it was not ready within 2 s")
    assert hanging["llm"]["state"] == "healthy"


def test_one_that_is_required_keeps_the_service_from_starting(
    tmp_path: Path, sample_module: InstalledPackage
) -> None:
    machine = Machine(tmp_path, required_at(sample_module, tmp_path / "required"))
    told = machine.run("serve", "--port", "0", code=1, env={"WAYSTATION_GREETER__START": "refused"})
    (line,) = [line for line in told.splitlines() if not line.startswith("{")]
    assert line == f"module_not_started: the module 'greeter' did not start: {REFUSED}"


def _reason(modules: Mapping[str, Any]) -> tuple[str, str]:
    return modules["greeter"]["state"], modules["greeter"]["reason"]


def test_steps_of_the_package_stand_at_every_place_and_are_recorded_replayed_and_compared(
    house: Machine, http: httpx.Client, tmp_path: Path
) -> None:
    events = turn(http, "What is 5 + 3?", "places")
    passed = [event["detail"] for event in events if event.get("code") == "passed"]
    around = ["before_call_model", "after_call_model"]
    assert passed == [
        *("before_lookup_config", "after_lookup_config", "before_retrieve", "after_retrieve"),
        *around,
        *("before_store_files", "after_store_files"),
    ]
    drawn = house.run("graph")
    assert all(name in drawn for name in [*passed, "guard", "before_execute_tools"])
    recording = tmp_path / "turn.json"
    house.run("runs", "record", events[-1]["run_id"], "--user", "ada", "--output", str(recording), env=KEYS)
    kept = [made["step"] for made in json.loads(recording.read_text())["further"]]
    assert [step for step in kept if step in passed] == passed
    replayed = json.loads(house.run("runs", "replay", str(recording), "--json", env=KEYS))
    assert (replayed["same"], [s["node"] for s in replayed["steps"] if "passed" in s]) == (True, passed)
    other = "after_retrieve=waystation_greeter.places:elsewhere"
    words = ("runs", "replay", str(recording), "--swap", other, "--json")
    done = run(*words, home=house.home, config_dir=house.config, env={**house.env, **KEYS})
    (difference,) = json.loads(done.stdout)["differences"]
    assert [difference[side]["passed"] for side in ("recorded", "replayed")] == [
        ["after_retrieve"],
        ["elsewhere"],
    ]


def test_a_guard_of_the_package_keeps_an_answer_back(http: httpx.Client) -> None:
    events = turn(http, "Say: 6 + 7 = 13", "guarded")
    told = http.get("/threads/guarded/transcript").json()["messages"]
    assert events[-1]["answer"] == told[-1]["text"] == "I do not say that number."
