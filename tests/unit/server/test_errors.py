"""The table of statuses, and the bodies made from it."""

from __future__ import annotations

import importlib
import pkgutil

import orjson
import pytest

import graph
import nodes
import server
from core.errors import Conflict, Internal, InvalidInput, WaystationError, known_errors
from server.errors import STATUS, findings, invalid, problem, problem_response, status_of
from server.protocols.refusals import PROBLEM_JSON


class RateLimited(WaystationError):
    """A stand-in for an error that knows how long to wait."""

    code = "too_many_runs"
    retry_after = 2.2


def _import_everything() -> None:
    for package in (graph, nodes, server):
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not found.name.endswith(("__main__", "studio", ".env")):
                importlib.import_module(found.name)


def test_every_code_of_ours_has_its_row() -> None:
    _import_everything()
    ours = ("core.", "graph.", "nodes.", "server.")
    codes = {code for code, cls in known_errors().items() if cls.__module__.startswith(ours)}
    assert codes - set(STATUS) == set(), "each of these needs a row in STATUS of server/errors.py"


def test_every_row_has_its_code() -> None:
    _import_everything()
    assert set(STATUS) - set(known_errors()) == set(), "no error has these codes of server/errors.py"


def test_a_plugins_code_takes_the_status_of_its_parent() -> None:
    class SeatTaken(Conflict):
        """An error of a plugin, with a code that the table cannot know."""

        code = "test_seat_taken"

    assert status_of(SeatTaken()) == 409


def test_a_problem_has_the_members_of_the_rfc_and_our_code() -> None:
    assert problem(InvalidInput("no"), instance="/x", errors=[{"field": "a", "message": "b"}]) == {
        "type": "urn:waystation:error:invalid_input",
        "title": "The request cannot be accepted",
        "status": 422,
        "detail": "no",
        "code": "invalid_input",
        "instance": "/x",
        "errors": [{"field": "a", "message": "b"}],
    }


def test_an_error_that_passes_with_time_says_how_long() -> None:
    answer = problem_response(RateLimited("wait"))
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "3"
    assert answer.headers["content-type"] == PROBLEM_JSON
    assert orjson.loads(bytes(answer.body))["code"] == "too_many_runs"


def test_an_internal_error_asks_nobody_to_wait() -> None:
    assert "retry-after" not in problem_response(Internal()).headers


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        (
            [{"loc": ("body", "input", "message"), "msg": "too long", "input": "secret"}],
            "input.message: too long",
        ),
        (["Invalid JSON body"], "Invalid JSON body"),
        ([], "the request is not valid"),
        (
            [{"loc": ("body", "mesage"), "type": "extra_forbidden", "msg": "Extra"}],
            "mesage: there is no such field; /docs shows those that there are",
        ),
        ([{"loc": ("a",), "msg": "x"}, {"loc": ("b",), "msg": "y"}], "a: x (and 1 more)"),
    ],
)
def test_findings_say_where_and_what_and_never_the_value(raw: list[object], detail: str) -> None:
    error, found = invalid(raw)
    assert error.detail == detail
    assert "secret" not in str(found)


def test_at_most_twenty_findings_are_told() -> None:
    assert len(findings(["x"] * 50)) == 20
