"""Where the service listens without a login, and under which names it answers."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from starlette.requests import Request

from core.identity.errors import NotAuthenticated
from core.settings.platform import AuthSettings, ServerSettings
from server.errors import BindRefused, HostRefused
from server.middleware.auth import (
    check_bind,
    check_host,
    check_page,
    is_loopback,
    needs_no_login,
    principal,
    scope_for,
)

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


FOREIGN_TO_NAMED = [
    {"origin": "https://evil.example", "host": "agent.example.com"},
    {"origin": "http://agent.example.com", "host": "agent.example.com"},
    {"origin": "https://agent.example.com.evil.example", "host": "agent.example.com"},
    {"origin": "https://agent.example.com:8443", "host": "agent.example.com"},
    {"origin": "null", "host": "agent.example.com"},
    {"origin": "https://[broken", "host": "agent.example.com"},
    {"origin": "https://agent.example.com:99999999", "host": "agent.example.com"},
    {"sec-fetch-site": "cross-site", "host": "agent.example.com"},
    {"sec-fetch-site": "same-site", "host": "agent.example.com"},
]


@pytest.mark.parametrize("headers", FOREIGN_TO_NAMED)
def test_where_people_log_in_a_page_of_somebody_else_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(HostRefused, match="page"):
        check_page("POST", headers, NAMED, logins=True)


@pytest.mark.parametrize(
    ("method", "headers", "server"),
    [
        ("POST", {"origin": "https://agent.example.com", "host": "inner:8000"}, NAMED),
        ("POST", {"origin": "HTTPS://Agent.example.com:443", "host": "inner:8000"}, NAMED),
        ("POST", {"origin": "http://box.lan:8000", "host": "box.lan:8000"}, OPEN),
        ("POST", {"host": "inner:8000"}, NAMED),
        ("GET", {"sec-fetch-site": "cross-site", "host": "inner:8000"}, NAMED),
        ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "host": "inner:8000"}, NAMED),
    ],
)
def test_own_pages_and_programs_are_answered_where_people_log_in(
    method: str, headers: dict[str, str], server: ServerSettings
) -> None:
    check_page(method, headers, server, logins=True)


async def test_a_request_that_came_by_no_gate_is_nobodys() -> None:
    with pytest.raises(NotAuthenticated):
        await principal(Request({"type": "http", "headers": []}))


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000"])
def test_own_names_are_answered(host: str) -> None:
    check_host(host, LOCAL)
    check_page("POST", {"origin": f"http://{host}", "host": host}, LOCAL, logins=False)


@pytest.mark.parametrize("host", ["evil.example:8000", "", "localhost.evil.example", "[broken"])
def test_a_foreign_host_name_is_refused(host: str) -> None:
    with pytest.raises(HostRefused):
        check_host(host, LOCAL)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "https://localhost.evil.example",
        "http://localhost:3000",
        "http://127.0.0.1:8001",
        "http://127.0.0.1",
        "http://[::1]:8000",
        "file://",
    ],
)
def test_g8_a_page_of_another_origin_is_refused_loopback_or_not(method: str, origin: str) -> None:
    with pytest.raises(HostRefused, match=r"page .* server\.cors_origins"):
        check_page(method, {"origin": origin, "host": "localhost:8000"}, LOCAL, logins=False)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(("method", "mode"), [("POST", "navigate"), ("POST", "no-cors"), ("GET", "no-cors")])
def test_g8_what_another_page_sends_without_its_origin_is_refused(site: str, method: str, mode: str) -> None:
    headers = {"sec-fetch-site": site, "sec-fetch-mode": mode, "host": "localhost:8000"}
    with pytest.raises(HostRefused, match="page"):
        check_page(method, headers, LOCAL, logins=False)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"},
        {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    ],
)
def test_g8_programs_own_pages_and_links_that_a_person_follows_are_answered(headers: dict[str, str]) -> None:
    check_page("GET", {"host": "localhost:8000", **headers}, LOCAL, logins=False)


@pytest.mark.parametrize("logins", [True, False])
def test_g8_a_page_that_the_operator_named_may_call(logins: bool) -> None:
    server = ServerSettings(cors_origins=["http://LOCALHOST:3000"], public_url=NAMED.public_url)
    headers = {"origin": "http://localhost:3000", "host": "localhost:8000", "sec-fetch-site": "same-site"}
    check_page("POST", headers, server, logins=logins)
    with pytest.raises(HostRefused):
        check_page("POST", {**headers, "origin": "http://localhost:3001"}, server, logins=logins)


@pytest.mark.parametrize(
    "origin", ["*", "null", "localhost:3000", "http://localhost:3000/", "http://a b", ""]
)
def test_g8_what_is_no_origin_is_refused_in_the_settings(origin: str) -> None:
    with pytest.raises(ValidationError, match="is no origin"):
        ServerSettings(cors_origins=[origin])


def test_a_service_opened_on_purpose_answers_to_any_name_until_it_has_one() -> None:
    check_host("box.lan:8000", OPEN)
    check_host("agent.example.com", NAMED)
    with pytest.raises(HostRefused):
        check_host("box.lan:8000", NAMED)
