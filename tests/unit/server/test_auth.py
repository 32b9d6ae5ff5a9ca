"""Where the service listens without a login, and under which names it answers."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from core.identity.errors import NotAuthenticated
from core.settings.platform import AuthSettings, ServerSettings
from server.auth import (
    check_bind,
    check_names,
    check_page,
    is_loopback,
    needs_no_login,
    principal,
    scope_for,
)
from server.errors import BindRefused, HostRefused

LOCAL = ServerSettings()
OPEN = ServerSettings(host="0.0.0.0", allow_remote=True)  # noqa: S104 - never bound
NAMED = ServerSettings(host="0.0.0.0", allow_remote=True, public_url="https://agent.example.com")  # noqa: S104


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "LOCALHOST.", "::1"])
def test_loopback_has_many_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.com", "", "127.0.0.1.example.com"])  # noqa: S104
def test_what_only_looks_like_loopback_is_not(host: str) -> None:
    assert not is_loopback(host)


def test_another_address_than_loopback_needs_a_word_of_the_operator() -> None:
    check_bind(LOCAL, AuthSettings())
    check_bind(OPEN, AuthSettings(trust_everyone=True))
    closed = ServerSettings(host="192.168.1.5")
    for server, auth in [
        (closed, AuthSettings()),
        (OPEN, AuthSettings()),
        (closed, AuthSettings(trust_everyone=True)),
    ]:
        with pytest.raises(BindRefused, match=r"allow_remote and auth\.trust_everyone"):
            check_bind(server, auth)


def test_where_people_log_in_any_address_will_do() -> None:
    check_bind(ServerSettings(host="0.0.0.0"), AuthSettings(mode="keys"))  # noqa: S104 - never bound


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/health", "operate"),
        ("/metrics", "operate"),
        ("/tasks/t1", "operate"),
        ("/threads", "use"),
        ("/metricsfoo", "use"),
        ("/a/path/that/nobody/thought/of", "use"),
    ],
)
def test_a_path_takes_a_scope_also_when_nobody_thought_of_it(path: str, scope: str) -> None:
    assert scope_for(path) == scope


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/files/link/abc.def.ghi"])
def test_a_few_paths_answer_anybody(path: str) -> None:
    assert needs_no_login(path)


@pytest.mark.parametrize(
    "path", ["/", "/health", "/health/live/", "/files/link/", "/files/link/a/b", "/docs", "//health/live"]
)
def test_what_only_looks_like_an_open_path_is_not(path: str) -> None:
    assert not needs_no_login(path)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example", "host": "agent.example.com"},
        {"origin": "http://agent.example.com", "host": "agent.example.com"},
        {"origin": "https://agent.example.com.evil.example", "host": "agent.example.com"},
        {"origin": "null", "host": "agent.example.com"},
        {"origin": "https://[broken", "host": "agent.example.com"},
        {"sec-fetch-site": "cross-site", "host": "agent.example.com"},
    ],
)
def test_where_people_log_in_a_page_of_somebody_else_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(HostRefused, match="page"):
        check_page("POST", headers, NAMED)


def test_own_pages_and_programs_are_answered_where_people_log_in() -> None:
    check_page("POST", {"origin": "https://agent.example.com", "host": "inner:8000"}, NAMED)
    check_page("POST", {"origin": "http://box.lan:8000", "host": "box.lan:8000"}, OPEN)
    check_page("POST", {"host": "inner:8000"}, NAMED)
    check_page("GET", {"sec-fetch-site": "cross-site", "host": "inner:8000"}, NAMED)


async def test_a_request_that_came_by_no_gate_is_nobodys() -> None:
    with pytest.raises(NotAuthenticated):
        await principal(Request({"type": "http", "headers": []}))


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000"])
def test_own_names_are_answered(host: str) -> None:
    check_names(host, None, LOCAL)
    check_names(host, f"http://{host}", LOCAL)


@pytest.mark.parametrize("host", ["evil.example:8000", "", "localhost.evil.example", "[broken"])
def test_a_foreign_host_name_is_refused(host: str) -> None:
    with pytest.raises(HostRefused):
        check_names(host, None, LOCAL)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://localhost.evil.example"])
def test_a_page_of_somebody_else_is_refused(origin: str) -> None:
    with pytest.raises(HostRefused, match="page"):
        check_names("localhost:8000", origin, LOCAL)


def test_a_service_opened_on_purpose_answers_to_any_name_until_it_has_one() -> None:
    check_names("box.lan:8000", "http://box.lan:8000", OPEN)
    check_names("agent.example.com", "https://agent.example.com", NAMED)
    with pytest.raises(HostRefused):
        check_names("box.lan:8000", None, NAMED)
