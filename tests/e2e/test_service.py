"""The service as a user meets it: a process of its own, over HTTP, with nothing configured."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from langserve import RemoteRunnable

from tests.kit.events import check_stream, kinds
from tests.kit.forked_programs import anew
from waystation.testing.service import ROOT, Service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with anew(), Service(tmp_path_factory.mktemp("service") / "home") as service:
        yield service


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        yield client


def body(message: str, **configurable: Any) -> dict[str, Any]:
    return {"input": {"message": message}, "config": {"configurable": configurable}}


def test_a_sum_gets_its_answer_from_the_calculator(http: httpx.Client) -> None:
    output = http.post("/agent/invoke", json=body("What is 5 + 3?", thread_id="t1")).raise_for_status().json()
    reply = output["output"]
    assert reply["status"] == "done"
    assert "8" in reply["answer"]
    assert reply["tool_calls"][0]["server"] == "calculator"
    assert reply["thread_id"] == "t1"


def test_a_question_on_the_handbook_is_answered_with_a_quote_that_stands_in_it(http: httpx.Client) -> None:
    question = "Which environment variable names the folder for the data of the service?"
    reply = http.post("/agent/invoke", json=body(question)).raise_for_status().json()["output"]
    assert reply["citations"], reply["answer"]
    for citation in reply["citations"]:
        folders = (ROOT, ROOT / "docs", ROOT / "docs" / "decisions")
        places = [folder / citation["document"] for folder in folders]
        text = next(path for path in places if path.is_file()).read_text()
        assert citation["quote"] in text


def test_a_total_over_an_uploaded_table_gives_the_number_and_a_file(http: httpx.Client) -> None:
    table = "region,amount\nnorth,10.5\nsouth,4\nnorth,2\n"
    upload = http.post("/files", files={"file": ("sales.csv", table, "text/csv")}).raise_for_status().json()
    request = body("What is the total of amount by region in sales.csv?", thread_id="table")
    request["input"]["files"] = [upload["key"]]
    reply = http.post("/agent/invoke", json=request).raise_for_status().json()["output"]
    assert "12.5" in reply["answer"]
    (file, *_) = reply["files"]
    content = http.get(f"/files/{file['key']}/content").raise_for_status().text
    assert {row["region"]: float(list(row.values())[1]) for row in csv.DictReader(io.StringIO(content))} == {
        "north": 12.5,
        "south": 4.0,
    }


def test_a_stream_shows_numbered_events_and_done_last(http: httpx.Client) -> None:
    events = []
    with http.stream("POST", "/agent/stream", json=body("What is 20 / 4?")) as answer:
        for line in answer.iter_lines():
            if line.startswith("data:") and line != "data:":
                data = json.loads(line.removeprefix("data:"))
                if isinstance(data, dict) and "type" in data:
                    events.append(data)
    check_stream(events)
    assert "token" in kinds(events)
    assert events[-1]["type"] == "done"
    assert "5" in events[-1]["answer"]


async def test_langserves_own_client_sees_the_same_events(service: Service) -> None:
    remote: RemoteRunnable[Any, Any] = RemoteRunnable(f"{service.url}/agent")
    events = [event async for event in remote.astream({"message": "What is 2 * 21?"})]
    check_stream(events)
    assert "42" in events[-1]["answer"]
    reply = await remote.ainvoke(
        {"message": "What is 2 * 21?"}, config={"configurable": {"thread_id": "remote"}}
    )
    assert "42" in reply["answer"]


def test_threads_can_be_listed_shown_and_deleted(http: httpx.Client) -> None:
    http.post("/agent/invoke", json=body("What is 1 + 1?", thread_id="gone")).raise_for_status()
    assert "gone" in {thread["id"] for thread in http.get("/threads").json()}
    page = http.get("/threads/gone/transcript").raise_for_status().json()
    assert [m["role"] for m in page["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert http.get("/threads/gone/state").raise_for_status().json()["next"] == []
    assert http.delete("/threads/gone").status_code == 204
    assert http.get("/threads/gone").status_code == 404
