"""A2A's words for runs: states, artifacts and pieces that no client shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from graph.runs.events import LoggedEvent
from graph.runs.webhook_body import webhook_body
from server.protocols.a2a.stream import SAID, TaskStream
from server.protocols.a2a.tasks import status_json

REPLY = {"answer": "", "status": "done", "thread_id": "t1", "citations": [], "files": [], "interrupts": []}
FILE = {"key": "k1", "name": "a.csv", "media_type": "text/csv", "size": 3}


class Task(TaskStream):
    """A stream without a line: what its events are told as."""

    def __init__(self) -> None:
        run: Any = SimpleNamespace(id="r_1", thread_id="t1")
        super().__init__(run, rpc_id=7, base="http://here", history=None, stall=1)
        self._begun = True

    def told(self, *events: Mapping[str, Any]) -> list[dict[str, Any]]:
        entries = [LoggedEvent({"seq": seq, **each}) for seq, each in enumerate(events, start=1)]
        lines = [json.loads(line.removeprefix(b"data: ")) for line in self.encoded(entries)]
        assert {(line["jsonrpc"], line["id"]) for line in lines} <= {("2.0", 7)}
        return [line["result"] for line in lines]


def test_an_answer_that_came_whole_is_an_artifact_with_its_citations() -> None:
    found = Task().told({"type": "done", **REPLY, "answer": "All.", "citations": [{"n": 1}]})
    [last, ended] = found
    told = last["artifactUpdate"]
    assert told["artifact"]["parts"] == [{"text": "All."}, {"data": {"citations": [{"n": 1}]}}]
    assert (told["lastChunk"], "append" in told) == (True, False)
    assert ended["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"


def test_the_last_piece_is_the_whole_answer_and_takes_the_place_of_the_others() -> None:
    """Agents of google-adk keep of an artifact what its last piece holds."""
    tokens = [{"type": "token", SAID: "It "}, {"type": "token", SAID: "is 8."}]
    *_, last, ended = Task().told(*tokens, {"type": "done", **REPLY, "answer": "It is 8."})
    assert last["artifactUpdate"]["artifact"]["parts"] == [{"text": "It is 8."}]
    assert (last["artifactUpdate"]["lastChunk"], "append" in last["artifactUpdate"]) == (True, False)
    assert "statusUpdate" in ended


def test_a_file_is_told_once_with_its_address() -> None:
    found = Task().told({"type": "file", **FILE}, {"type": "done", **REPLY, "files": [FILE]})
    files = [each["artifactUpdate"]["artifact"] for each in found if "artifactUpdate" in each]
    assert [file["parts"][0]["url"] for file in files] == ["http://here/files/k1/content"]
    late = Task().told({"type": "done", **REPLY, "files": [FILE]})
    assert late[0]["artifactUpdate"]["artifact"]["artifactId"] == "k1"


def test_what_is_said_behind_a_tool_takes_the_place_of_what_was_said_before() -> None:
    notice = {"type": "notice", "code": "x"}
    call = {"type": "tool_call", "id": "c", "server": "s", "tool": "t", "arguments": {}}
    found = Task().told(
        {"type": "token", SAID: "a"}, notice, {"type": "token", SAID: "b"}, call, {"type": "token", SAID: "c"}
    )
    pieces = [each["artifactUpdate"].get("append", False) for each in found if "artifactUpdate" in each]
    assert pieces == [False, True, False]


def test_a_failure_is_a_status_with_its_code_and_reasoning_is_not_told() -> None:
    error = {"type": "error", "code": "model_refused", "title": "No", "detail": "not today"}
    [failed] = Task().told({"type": "reasoning", SAID: "hm"}, error)
    status = failed["statusUpdate"]["status"]
    assert status["state"] == "TASK_STATE_FAILED"
    assert status["message"]["parts"] == [
        {"text": "No: not today"},
        {"data": {"code": "model_refused"}},
    ]


@pytest.mark.parametrize(
    ("kinds", "state"),
    [
        (["credential"], "TASK_STATE_AUTH_REQUIRED"),
        (["credential", "approval"], "TASK_STATE_INPUT_REQUIRED"),
        ([], "TASK_STATE_INPUT_REQUIRED"),
    ],
)
def test_what_waits_decides_the_state(kinds: list[str], state: str) -> None:
    waiting = [{"id": kind, "kind": kind, "call": {"tool": "t"}} for kind in kinds]
    output = {**REPLY, "interrupts": waiting}
    status = status_json("r_1", "t1", "interrupted", output=output, error=None, at=0.0)
    assert status["state"] == state
    assert status["timestamp"] == "1970-01-01T00:00:00.000Z"
    assert bool(status["message"]["parts"][1:]) == bool(kinds)


def test_the_end_of_a_run_is_told_in_the_words_that_were_asked_for() -> None:
    shown = {"run_id": "r_1", "thread_id": "t1", "status": "cancelled", "output": None}
    ours = webhook_body("", shown)
    assert (ours["type"], ours["data"]) == ("run.ended", shown)
    theirs = webhook_body("a2a", shown)["statusUpdate"]
    assert (theirs["taskId"], theirs["contextId"]) == ("r_1", "t1")
    assert theirs["status"]["state"] == "TASK_STATE_CANCELED"
    assert webhook_body("nobody's", shown)["type"] == "run.ended"
