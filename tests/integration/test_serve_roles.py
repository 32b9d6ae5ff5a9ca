"""`waystation serve --role`: what is served where, and where a role cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.campaigns.victims import plain
from waystation.testing.postgres import PostgresServer
from waystation.testing.service import Service, run

SMALL = {"WAYSTATION_MCP__BUNDLED": "false", "WAYSTATION_MODULES__DISABLED": '["rag"]'}


@pytest.fixture(scope="module")
def storage(postgres_server: PostgresServer) -> Iterator[dict[str, str]]:
    url = postgres_server.create_database()
    yield {**SMALL, "WAYSTATION_STORAGE__URL": plain(url)}
    postgres_server.drop_database(url)


def test_a_worker_serves_health_and_metrics_and_its_api_says_what_is_missing(
    tmp_path: Path, storage: dict[str, str]
) -> None:
    api = Service(tmp_path / "api", env=storage, words=("--role", "api"))
    worker = Service(
        tmp_path / "worker",
        env=storage,
        words=("--role", "worker", "--executes", "runs", "--at-once", "2", "--tags", "default,big"),
    )
    question = {"input": {"message": "hello"}}
    with api, httpx.Client(trust_env=False, timeout=60) as http:
        ready = http.get(f"{api.url}/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert "no worker executes runs" in ready.json()["reason"]
        assert http.get(f"{api.url}/health").json()["platform"]["workers"]["state"] == "degraded"
        with worker:
            assert http.get(f"{worker.url}/health/ready").json() == {"status": "ready"}
            assert http.get(f"{worker.url}/metrics").status_code == 200
            for path in ("/docs", "/openapi.json", "/threads", "/", "/v1/models"):
                assert http.get(f"{worker.url}{path}").status_code == 404, path
            assert http.post(f"{worker.url}/agent/invoke", json=question).status_code == 404
            answer = http.post(f"{api.url}/agent/invoke", json=question)
            assert answer.json()["output"]["status"] == "done"
            answer = http.post(
                f"{api.url}/v1/chat/completions",
                json={"model": "waystation", "messages": [{"role": "user", "content": "hello"}]},
            )
            assert answer.json()["choices"][0]["message"]["content"]
            said = worker.log.read_text()
            assert "executes runs, of the tags default, big; up to 2 runs at once" in said
        assert worker._process is None


@pytest.mark.parametrize("role", ["api", "worker"])
def test_a_role_on_sqlite_is_refused_in_a_sentence(tmp_path: Path, role: str) -> None:
    done = run("serve", "--role", role, "--port", "0", home=tmp_path / "home", env=SMALL)
    assert done.returncode == 1
    assert "needs PostgreSQL" in done.stderr
    assert "storage.url" in done.stderr
    assert "Traceback" not in done.stderr
