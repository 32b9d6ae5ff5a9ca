"""What the sections `events` and `webhooks` accept, and which addresses may receive."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from core.events.addresses import may_connect, resolved
from core.events.settings import SECTIONS, EventSettings, WebhookSettings
from core.events.shipped import SHIPPED
from core.installed import ROOT
from core.registry import discover
from tests.kit.settings import ConfigFolder
from tests.kit.webhook_server import SECRET


def settings(url: str = "https://hooks.example.com/x", **more: Any) -> WebhookSettings:
    hook = {"name": "crm", "url": url, "secret": more.pop("secret", SECRET), "events": ["*"]}
    return WebhookSettings.model_validate({"hooks": [hook], "allowed_hosts": ["hooks.example.com"], **more})


def problem(*args: Any, **more: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        settings(*args, **more)
    return str(caught.value)


def test_defaults_write_an_audit_log_and_send_nothing() -> None:
    assert EventSettings().audit
    assert WebhookSettings().hooks == []


def test_a_hook_whose_host_is_not_allowed_is_refused() -> None:
    said = problem("https://other.example.com/x")
    assert "hook 'crm': add its host 'other.example.com' to webhooks.allowed_hosts" in said


@pytest.mark.parametrize(
    ("allowed", "host", "fits"),
    [
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "example.com.evil.org", False),
        ("Hooks.Example.com", "hooks.example.COM", True),
        ("hooks.example.com", "hooks.example.com.", True),
    ],
)
def test_allowed_hosts_are_whole_names(allowed: str, host: str, fits: bool) -> None:
    if fits:
        assert settings(f"https://{host}/x", allowed_hosts=[allowed]).hooks
    else:
        assert "allowed_hosts" in problem(f"https://{host}/x", allowed_hosts=[allowed])


@pytest.mark.parametrize(
    "url",
    ["http://hooks.example.com/", "ftp://hooks.example.com/", "hooks.example.com", "https:///x", "file:///x"],
)
def test_only_a_full_https_address_is_taken(url: str) -> None:
    assert "must be a full https address" in problem(url)


def test_plain_http_is_for_private_networks_only() -> None:
    assert settings("http://hooks.example.com/", allow_private_addresses=True).hooks


@pytest.mark.parametrize("url", ["https://a:b@hooks.example.com/", "https://hooks.example.com/#x"])
def test_a_url_holds_no_login_and_no_fragment(url: str) -> None:
    assert "no login and no fragment" in problem(url)


@pytest.mark.parametrize(
    "secret", ["password", "whsec_", "whsec_c2hvcnQ=", "whsec_äöü", "whsec_" + "A" * 400]
)
def test_a_weak_or_malformed_secret_is_refused(secret: str) -> None:
    assert "is not 24 to 64 bytes in base64" in problem(secret=secret)


def test_a_problem_names_the_line_and_never_the_secret(tmp_path: Path) -> None:
    folder = ConfigFolder(tmp_path, sections=SECTIONS)
    folder.write(
        "waystation.yaml",
        """
        webhooks:
          hooks:
            - name: crm
              url: https://hooks.example.com/
              secret: whsec_c2hvcnQ=
              events: [Sold]
        """,
    )
    [said] = folder.problems()
    assert said.startswith("waystation.yaml:6: webhooks.hooks.0.secret: ")
    assert "make one with: openssl rand -base64 32" in said
    assert "c2hvcnQ" not in said


def test_a_secret_may_come_without_its_prefix() -> None:
    assert settings(secret=base64.b64encode(bytes(24)).decode()).hooks


def test_two_hooks_of_one_name_are_refused() -> None:
    hook = {"name": "a", "url": "https://hooks.example.com/", "secret": SECRET, "events": ["*"]}
    assert "two hooks are called 'a'" in problem(hooks=[hook, hook])


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "::1",
        "10.0.0.1",
        "172.16.3.4",
        "192.168.1.1",
        "fd12::1",
        "::ffff:10.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
    ],
)
def test_private_addresses_need_the_setting(address: str) -> None:
    assert not may_connect(address, private=False)
    assert may_connect(address, private=True)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "fe80::1",
        "100.100.100.200",
        "fd00:ec2::254",
        "0.0.0.0",  # noqa: S104 - an address that must be refused
        "::",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "no address",
        "127.0.0.1.example.com",
    ],
)
def test_metadata_link_local_and_multicast_addresses_are_never_allowed(address: str) -> None:
    assert not may_connect(address, private=False)
    assert not may_connect(address, private=True)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert may_connect(address, private=False)


async def test_a_host_is_resolved_to_each_address_once() -> None:
    assert await resolved("127.0.0.1", 80) == ["127.0.0.1"]
    assert await resolved("0x7f.1", 80) == ["127.0.0.1"]


def test_the_events_that_a_hook_may_name_are_those_that_are_published() -> None:
    folders = ("core", "nodes", "graph", "server")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    found = {name for file in files for name in re.findall(r"(?m)^class (\w+)\(Event\):", file.read_text())}
    assert found == SHIPPED.union(*(module.events or () for module in discover()))
