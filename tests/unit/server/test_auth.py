"""Where the service listens without a login, and under which names it answers."""

from __future__ import annotations

import pytest

from core.settings.platform import ServerSettings
from server.auth import check_bind, check_names, is_loopback
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
    check_bind(LOCAL)
    check_bind(OPEN)
    with pytest.raises(BindRefused, match="allow_remote"):
        check_bind(ServerSettings(host="192.168.1.5"))


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
