"""One Waystation as a source of another: two services, each a process of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit.http import assert_problem, client_of, served
from waystation.testing.agents import open_agent
from waystation.testing.service import Service, run

pytestmark = pytest.mark.slow

PATIENCE_S = 60
DOCUMENTS = {
    "travel": "# Travel\n\n## Trains\n\nTrains are booked in second class, a week ahead.",
    "payroll": "# Payroll\n\nSalaries are paid on the last working day of the month.",
    "vault": "# Vault\n\nThe vault opens with the blue key.",
}
FAR = """travel: {path: ../travel, display_name: Travelling, description: How we travel}
payroll: {path: ../payroll, groups: [hr]}
vault: {path: ../vault, compliance_level: secret}
"""
SETTINGS = """auth:
  mode: keys
  people:
    ada: {groups: [hr], levels: [secret]}
modules: {disabled: [mcp_tools]}
"""
NEAR = """one: {type: http, url: URL, bearer_token: KEY, api_version: v1}
two: {type: http, url: URL, bearer_token: KEY, api_version: v2}
told: {type: http, url: URL, bearer_token: KEY, api_version: v2, default_mode: synthesized}
"""


@dataclass(frozen=True)
class Far:
    """The service that is asked, and its keys."""

    url: str
    backend: str
    alone: str

    def ask(self, method: str, path: str, key: str = "", body: Any = None, **query: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {key or self.backend}"}
        return httpx.request(
            method,
            self.url + path,
            headers=headers,
            params=query,
            json=body,
            timeout=PATIENCE_S,
            trust_env=False,
        )

    def query(self, question: str, user: str = "ada", key: str = "", **body: Any) -> httpx.Response:
        return self.ask("POST", "/api/v2/rag/query", key, {"query": question, **body}, as_user=user)


def key_of(folder: Path, *words: str) -> str:
    made = run("keys", "create", *words, "--json", home=folder / "home", config_dir=folder / "config")
    assert made.returncode == 0, made.stderr
    found: str = json.loads(made.stdout)["key"]
    return found


def configured(folder: Path, **files: str) -> Path:
    config = folder / "config"
    config.mkdir(parents=True)
    for name, text in files.items():
        (config / f"{name}.yaml").write_text(text)
    return config


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    folder = tmp_path_factory.mktemp("far")
    config = configured(folder, sources=FAR, waystation=SETTINGS)
    for name, text in DOCUMENTS.items():
        (folder / name).mkdir()
        (folder / name / f"{name}.md").write_text(text)
    backend = key_of(
        folder,
        "--user",
        "backend",
        "--group",
        "hr",
        "--level",
        "secret",
        "--scope",
        "use",
        "--scope",
        "act_as",
    )
    alone = key_of(folder, "--user", "bob")
    with Service(folder / "home", config_dir=config) as service:
        yield Far(service.url, backend, alone)


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory, far: Far) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("near")
    sources = NEAR.replace("URL", far.url).replace("KEY", far.backend)
    settings = "auth: {user: ada}\nmodules: {disabled: [mcp_tools]}\n"
    config = configured(folder, sources=sources, waystation=settings)
    with Service(folder / "home", config_dir=config) as service:
        yield service.url


@pytest.mark.parametrize("source", ["one", "two", "told"])
def test_a_turn_here_is_answered_from_documents_there_with_citations(near: str, source: str) -> None:
    body = {
        "input": {"message": "How are trains booked?"},
        "config": {"configurable": {"sources": [source]}},
    }
    reply = httpx.post(f"{near}/agent/invoke", json=body, timeout=PATIENCE_S, trust_env=False).json()[
        "output"
    ]
    assert "second class" in reply["answer"]
    cited = reply["citations"][0]
    assert (cited["source"], cited["document"]) == (source, "travel.md")
    assert "Trains are booked in second class, a week ahead." in cited["quote"]


def test_what_the_user_may_search_there_is_shown_here(near: str) -> None:
    found = {s["name"]: s for s in httpx.get(f"{near}/sources", timeout=PATIENCE_S, trust_env=False).json()}
    for name in ("one", "two"):
        labels = {c["id"]: c["label"] for c in found[name]["collections"]}
        assert labels == {"travel": "Travelling", "payroll": "payroll", "vault": "vault"}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_discovery_shows_what_the_user_may_search(far: Far, version: str) -> None:
    def seen(user: str, key: str = "") -> list[str]:
        path = f"/api/{version}/discover/datasources"
        found = far.ask("GET", path, key, role="read", as_user=user).json()
        return [source["id"] for source in found["data_sources"]]

    assert seen("ada") == ["travel", "payroll", "vault"]
    assert seen("stranger") == ["travel"]
    assert seen("backend") == ["travel", "payroll", "vault"]
    assert seen("", far.alone) == ["travel"]


def test_passages_come_whole_and_those_of_others_do_not_come(far: Far) -> None:
    answer = far.query("When are salaries paid?", mode="raw", top_k=2).json()
    (hit,) = answer["results"]["hits"]
    assert (hit["filename"], hit["document_ref"]) == ("payroll.md", "payroll/payroll.md")
    assert hit["sections"][0]["text"] in DOCUMENTS["payroll"]
    assert 0 < hit["sections"][0]["relevance"] <= 1
    assert answer["metadata"]["corpora_searched"] == ["travel", "payroll", "vault"]
    hidden = far.query("When are salaries paid?", user="stranger")
    assert hidden.json()["results"]["hits"] == []
    named = far.query("When are salaries paid?", user="stranger", corpora=["payroll"])
    assert_problem(named, 404, "source_not_found")
    made_up = far.query("salaries", user="stranger", corpora=["made-up"])
    assert named.json()["detail"].replace("payroll", "X") == made_up.json()["detail"].replace("made-up", "X")


def test_an_answer_is_written_where_one_is_asked_for(far: Far) -> None:
    answer = far.query("Which key opens the vault?", mode="synthesized", corpora="vault").json()
    assert "blue key" in answer["results"]["answer"]
    (cited,) = answer["results"]["citations"]
    assert (cited["n"], cited["filename"]) == (1, "vault.md")
    nothing = far.query("What is the capital of Peru?", mode="synthesized").json()["results"]
    assert (nothing["answer"], nothing["citations"]) == ("", [])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"query": " "}, 400, "query_not_accepted"),
        ({"query": "trains", "filters": {"year": 2020}}, 400, "query_not_accepted"),
        (
            {"query": "trains", "mode": "synthesized", "synthesis_params": {"temperature": 9}},
            400,
            "query_not_accepted",
        ),
        ({"query": "trains", "mode": "other"}, 422, "invalid_request"),
        ({"query": "trains", "top_k": 0}, 422, "invalid_request"),
        ({"query": "trains", "corpora": [7]}, 422, "invalid_request"),
        ({}, 422, "invalid_request"),
    ],
)
def test_what_cannot_be_asked_is_refused(far: Far, body: dict[str, Any], status: int, code: str) -> None:
    assert_problem(far.ask("POST", "/api/v2/rag/query", body=body), status, code)


def test_who_may_not_ask_is_refused(far: Far) -> None:
    assert_problem(far.query("trains", user="ada", key=far.alone), 403, "scope_missing")
    assert_problem(far.query("trains", key="wsk_0_no"), 401, "not_authenticated")
    assert_problem(far.query("trains", user="no user"), 422, "invalid_input")


def test_version_1_takes_what_its_clients_send(far: Far) -> None:
    body = {
        "messages": [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Good morning."},
            {"role": "user", "content": [{"type": "text", "text": "How are trains booked?"}]},
        ],
        "stream": False,
        "model": "openai/some-model",
        "corpora": "travel",
        "top_k": 4,
        "threshold": None,
        "expanded_window": [0, 0],
    }
    answer = far.ask("POST", "/api/v1/rag/completions", body=body, as_user="ada").json()
    assert answer["metadata"]["references"][0]["filename"] == "travel.md"
    assert answer["rag_metadata"]["documents_found"][0]["corpus_id"] == "travel"
    assert "second class" in answer["choices"][0]["message"]["content"]
    streamed = far.ask("POST", "/api/v1/rag/completions", body={**body, "stream": True})
    assert_problem(streamed, 400, "query_not_accepted")
    empty = far.ask("POST", "/api/v1/rag/completions", body={**body, "messages": []})
    assert_problem(empty, 400, "query_not_accepted")


def test_curl_is_enough(far: Far) -> None:
    command = [
        "curl", "-s", f"{far.url}/api/v2/rag/query?as_user=ada",
        "-H", f"authorization: Bearer {far.backend}", "-H", "content-type: application/json",
        "-d", '{"query": "How are trains booked?", "corpora": ["travel"], "mode": "raw", "top_k": 4}',
    ]  # fmt: skip
    said = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert json.loads(said.stdout)["results"]["hits"][0]["title"] == "Travel › Trains"


def test_services_that_are_a_source_of_each_other_come_to_an_end(tmp_path: Path) -> None:
    pair = []
    for name in ("a", "b"):
        config = configured(tmp_path / name, waystation="modules: {disabled: [mcp_tools]}\n")
        pair.append((config, Service(tmp_path / name / "home", config_dir=config)))
    (tmp_path / "a" / "travel").mkdir()
    (tmp_path / "a" / "travel" / "travel.md").write_text(DOCUMENTS["travel"])
    for (config, _), (_, other) in ((pair[0], pair[1]), (pair[1], pair[0])):
        text = f"other: {{type: http, url: '{other.url}', api_version: v2}}\n"
        (config / "sources.yaml").write_text(text)
    (config_a, first), (_, second) = pair
    with (config_a / "sources.yaml").open("a") as file:
        file.write("travel: {path: ../travel}\n")
    with first, second:
        body = {"query": "How are trains booked?", "corpora": ["other"]}
        query = "/api/v2/rag/query"
        back = httpx.post(f"{second.url}{query}", json=body, timeout=PATIENCE_S, trust_env=False)
        # Another question: what was found for the first is known there.
        body["query"] = "Which class are trains booked in?"
        here = httpx.post(f"{first.url}{query}", json=body, timeout=PATIENCE_S, trust_env=False)
    assert back.json()["results"]["hits"][0]["filename"] == "travel.md"
    assert "HTTP 50" in assert_problem(here, 503, "source_unavailable")["detail"]


async def test_version_1_has_an_answer_written_where_the_settings_say_so(tmp_path: Path) -> None:
    async with (
        open_agent(tmp_path, tools=(), rag={"completions": "answer"}) as agent,
        served(agent) as base,
        client_of(base) as http,
    ):
        body = {
            "messages": [{"role": "user", "content": "How long is a berth reserved?"}],
            "model": "offline",
        }
        answer = (await http.post("/api/v1/rag/completions", json=body)).json()
    assert answer["object"] == "chat.completion"
    assert "fourteen days" in answer["choices"][0]["message"]["content"]
    assert answer["message"]["content"] == answer["choices"][0]["message"]["content"]


async def test_without_the_module_it_says_so(tmp_path: Path) -> None:
    async with (
        open_agent(tmp_path, tools=(), modules={"disabled": ["rag"]}) as agent,
        served(agent) as base,
        client_of(base) as http,
    ):
        assert_problem(await http.get("/api/v2/discover/datasources"), 503, "source_unavailable")
        asked = await http.post("/api/v2/rag/query", json={"query": "berths"})
        assert "'rag' does not run" in assert_problem(asked, 503, "source_unavailable")["detail"]
