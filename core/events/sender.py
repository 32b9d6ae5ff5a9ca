"""One attempt to post an event to a webhook, signed as Standard Webhooks say.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time

import httpx

from core.events.addresses import Resolve, may_connect, resolved
from core.events.errors import WebhookRefused, WebhookUnavailable
from core.events.settings import Hook, WebhookSettings, signing_key

_TRY_LATER = (408, 429)


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: version 1, HMAC with SHA-256."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class Sender:
    """Posts to receivers; follows no redirect and uses no proxy.

    Args:
        resolve: Turns a host and port into addresses.
    """

    def __init__(self, settings: WebhookSettings, *, resolve: Resolve = resolved) -> None:
        self._timeout = settings.timeout_seconds
        self._private = settings.allow_private_addresses
        self._resolve = resolve
        self._client: httpx.AsyncClient | None = None

    async def post(self, hook: Hook, message_id: str, body: bytes) -> None:
        """Deliver the body; returns when the receiver took it.

        Raises:
            WebhookUnavailable: Not this time.
            WebhookRefused: Not ever.
        """
        timestamp = int(time.time())
        headers = {
            "content-type": "application/json",
            "user-agent": "Waystation",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(signing_key(hook.secret), message_id, timestamp, body),
        }
        try:
            async with asyncio.timeout(self._timeout):
                addresses = await self._addresses(hook)
                status, retry_after = await self._first_answer(hook, addresses, headers, body)
        except TimeoutError:
            raise WebhookUnavailable(f"webhook '{hook.name}': no answer in {self._timeout:g} s") from None
        _judge(hook, status, retry_after)

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _addresses(self, hook: Hook) -> list[str]:
        url = httpx.URL(hook.url)
        try:
            found = await self._resolve(url.host, url.port or (443 if url.scheme == "https" else 80))
        except OSError as error:
            raise WebhookUnavailable(f"webhook '{hook.name}': host '{hook.host}' is not known") from error
        allowed = [address for address in found if may_connect(address, private=self._private)]
        if not allowed:
            raise WebhookRefused(
                f"webhook '{hook.name}': host '{hook.host}' has a private address; "
                "webhooks.allow_private_addresses would allow those of this machine and its networks"
            )
        return allowed

    async def _first_answer(
        self, hook: Hook, addresses: list[str], headers: dict[str, str], body: bytes
    ) -> tuple[int, str]:
        for address in addresses:
            try:
                return await self._post_to(address, hook, headers, body)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
            except httpx.HTTPError as error:
                raise WebhookUnavailable(f"webhook '{hook.name}': the connection broke") from error
        raise WebhookUnavailable(f"webhook '{hook.name}': host '{hook.host}' cannot be reached")

    async def _post_to(
        self, address: str, hook: Hook, headers: dict[str, str], body: bytes
    ) -> tuple[int, str]:
        """Connect to the checked address itself: asking for the name again could give another one."""
        url = httpx.URL(hook.url)
        async with self._opened().stream(
            "POST",
            url.copy_with(host=address),
            headers={**headers, "host": url.netloc.decode()},
            content=body,
            # The certificate must still be the name's.
            extensions={"sni_hostname": url.raw_host.decode()},
        ) as response:
            # The body of the answer is not read: it says nothing that counts, and may be endless.
            return response.status_code, response.headers.get("retry-after", "")

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                verify=httpx.create_ssl_context(),
                trust_env=False,
                follow_redirects=False,
                timeout=self._timeout,
                # The pool knows addresses, not names: a kept connection may have shown another name's
                # certificate.
                limits=httpx.Limits(max_keepalive_connections=0),
            )
        return self._client


def _judge(hook: Hook, status: int, retry_after: str) -> None:
    """Raise unless the status says that the receiver took the event."""
    if 200 <= status < 300:
        return
    said = f"webhook '{hook.name}': the receiver answered {status}"
    if status < 500 and status not in _TRY_LATER:
        raise WebhookRefused(f"{said}; redirects are not followed" if status < 400 else said)
    raise WebhookUnavailable(said, retry_after=float(retry_after) if retry_after.isdecimal() else None)
