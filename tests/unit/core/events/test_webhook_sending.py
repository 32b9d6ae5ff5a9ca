"""How a webhook is sent: which address, under which name, and within which time."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core.events.errors import WebhookRefused, WebhookUnavailable
from tests.kit.webhook_server import WebhookServer
from tests.unit.core.events.hooks import Answers, Sold, configured, hook, hooked, served

PUBLIC = "93.184.216.34"


async def test_a_private_address_is_refused_by_default_and_allowed_with_the_setting(tmp_path: Path) -> None:
    async with WebhookServer(name="crm.test") as server:
        url = server.url.replace("http:", "https:")
        strict = configured(hook(url), allow_private_addresses=False)
        async with hooked(strict, tmp_path, resolve=Answers([["127.0.0.1"]])) as ours:
            delivery_id = await ours.published(Sold("tea"))
            with pytest.raises(WebhookRefused, match=r"host 'crm\.test' has a private address"):
                await ours.webhooks.deliver(delivery_id)
            assert server.messages == []
            assert (await ours.rows())[0]["status"] == "failed"
        async with hooked(configured(hook(server.url)), tmp_path, resolve=Answers([["127.0.0.1"]])) as ours:
            await ours.webhooks.deliver(await ours.published(Sold("tea")))
            [message] = server.messages
            server_url = server.url
    assert message.headers["host"] == urlsplit(server_url).netloc
    assert message.path == "/hook?from=waystation"


async def test_a_name_that_turns_private_after_the_check_is_not_asked_again(tmp_path: Path) -> None:
    resolver = Answers([[PUBLIC], ["127.0.0.1"]])
    async with WebhookServer(name="crm.test") as server:
        strict = configured(hook(server.url.replace("http:", "https:")), allow_private_addresses=False)
        async with hooked(strict, tmp_path, resolve=resolver) as ours:
            delivery_id = await ours.published(Sold("tea"))
            # The switch in conftest.py names the address that was connected to: the one that was checked.
            with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match=PUBLIC), allow_unwrapped=True):
                await ours.webhooks.deliver(delivery_id)
        assert server.messages == []
    assert resolver.asked == 1


async def test_the_checked_address_is_the_one_that_is_connected_to(tmp_path: Path) -> None:
    resolver = Answers([["127.0.0.1"], ["127.0.0.2"]])
    async with (
        WebhookServer(name="crm.test") as checked,
        WebhookServer(host="127.0.0.2", port=checked.port) as other,
        hooked(configured(hook(checked.url)), tmp_path, resolve=resolver) as ours,
    ):
        await ours.webhooks.deliver(await ours.published(Sold("tea")))
        assert (len(checked.messages), len(other.messages), resolver.asked) == (1, 0, 1)


async def test_of_several_addresses_the_allowed_ones_are_tried_in_order(tmp_path: Path) -> None:
    resolver = Answers([["169.254.169.254", "127.0.0.3", "127.0.0.1"]])
    async with (
        WebhookServer(name="crm.test") as server,
        hooked(configured(hook(server.url)), tmp_path, resolve=resolver) as ours,
    ):
        await ours.webhooks.deliver(await ours.published(Sold("tea")))
        assert [message.signed for message in server.messages] == [True]


async def test_an_ipv6_receiver_can_be_reached(tmp_path: Path) -> None:
    async with (
        WebhookServer(host="::1") as server,
        hooked(configured(hook(server.url)), tmp_path) as ours,
    ):
        await ours.webhooks.deliver(await ours.published(Sold("tea")))
        assert server.messages[0].headers["host"] == f"[::1]:{server.port}"


async def test_a_receiver_that_does_not_answer_costs_its_timeout(tmp_path: Path) -> None:
    async with served(tmp_path, timeout_seconds=0.1) as (server, ours):
        server.hang()
        with pytest.raises(WebhookUnavailable, match=r"webhook 'crm': no answer in 0\.1 s"):
            await ours.webhooks.deliver(await ours.published(Sold("tea")))


async def test_a_receiver_that_is_away_is_tried_again(tmp_path: Path) -> None:
    async with WebhookServer() as server:
        url = server.url
    async with hooked(configured(hook(url)), tmp_path) as ours:
        with pytest.raises(WebhookUnavailable, match=r"host '127\.0\.0\.1' cannot be reached"):
            await ours.webhooks.deliver(await ours.published(Sold("tea")))


async def test_a_receiver_that_talks_nonsense_is_tried_again(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, ours):
        server.answer(0)
        with pytest.raises(WebhookUnavailable, match="the connection broke"):
            await ours.webhooks.deliver(await ours.published(Sold("tea")))


async def test_a_name_that_nobody_knows_is_tried_again(tmp_path: Path) -> None:
    async def unknown(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    async with hooked(configured(hook("http://crm.test/")), tmp_path, resolve=unknown) as ours:
        with pytest.raises(WebhookUnavailable, match=r"host 'crm\.test' is not known"):
            await ours.webhooks.deliver(await ours.published(Sold("tea")))


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A certificate for crm.test that this process trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "crm.test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("crm.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "crm.pem"
    pem.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def test_over_https_the_certificate_must_be_the_names_although_an_address_is_dialled(
    tmp_path: Path, certificate: ssl.SSLContext
) -> None:
    async with WebhookServer(tls=certificate, name="crm.test") as server:
        hooks = [hook(server.url, name="right"), hook(server.url.replace("crm", "other"), name="wrong")]
        async with hooked(configured(*hooks), tmp_path, resolve=Answers([["127.0.0.1"]])) as ours:
            ours.bus.publish(Sold("tea"))
            right, wrong = await ours.queue.ids(2)
            await ours.webhooks.deliver(right)
            with pytest.raises(WebhookUnavailable, match=r"host 'other\.test' cannot be reached"):
                await ours.webhooks.deliver(wrong)
            assert [message.headers["webhook-id"] for message in server.messages] == [right]
