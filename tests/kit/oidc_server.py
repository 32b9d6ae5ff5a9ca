"""An OpenID Connect issuer on loopback: real HTTP, real keys, and tokens of every kind that goes wrong.

async with OidcServer() as issuer:
    settings = issuer.settings()
    token = issuer.token(sub="ada", groups=["staff"])
    issuer.rotate()          # new keys; the old ones are gone
    issuer.mode = "hang"     # or "error", "nonsense"; "ok" again later
    await issuer.stop()      # or nobody there at all
    assert issuer.requests["/jwks"] == 1
    issuer.answers["/token"] = (200, {"id_token": token})   # what a POST to it is answered
    assert issuer.forms[-1]["code"] == "..."                # what was posted
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from collections import Counter
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from core.settings.auth import OidcSettings

AUDIENCE = "waystation"
Mode = Literal["ok", "hang", "error", "nonsense"]


class OidcServer:
    """Serves `/.well-known/openid-configuration`, `/jwks` and `answers` in the test's own event loop."""

    def __init__(self) -> None:
        self.url = ""
        self.mode: Mode = "ok"
        self.requests: Counter[str] = Counter()
        self.discovery: dict[str, Any] = {}
        self.answers: dict[str, tuple[int, Any]] = {}
        self.forms: list[dict[str, str]] = []
        self.heads: list[str] = []
        self.keys: dict[str, Any] = {}
        self._came = asyncio.Event()
        self.jwks: dict[str, Any] = {}
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self._port = 0
        self.rotate()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, after a stop on the same port again."""
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        places = {"authorization_endpoint": "auth?from=us", "token_endpoint": "token"}
        places |= {"userinfo_endpoint": "me", "jwks_uri": "jwks"}
        self.discovery = {"issuer": self.url, **{name: f"{self.url}/{path}" for name, path in places.items()}}

    async def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            self._server.close()
            for client in self._clients:
                client.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def asked(self, path: str, *, times: int = 1, within_s: float = 5) -> None:
        """Wait until the path was asked for so many times."""
        async with asyncio.timeout(within_s):
            while self.requests[path] < times:
                self._came.clear()
                await self._came.wait()

    def settings(self, **more: Any) -> OidcSettings:
        """Settings that trust this issuer."""
        return OidcSettings(issuer=self.url, audience=[AUDIENCE], **more)

    def rotate(self) -> None:
        """A new RSA and a new EC key (P-256); both old ones are gone."""
        made = {
            "RS256": rsa.generate_private_key(65537, 2048),
            "ES256": ec.generate_private_key(ec.SECP256R1()),
        }
        self.keys = {f"{algorithm}-{secrets.token_hex(4)}": key for algorithm, key in made.items()}
        self.jwks = {"keys": [_public(kid, key) for kid, key in self.keys.items()]}

    def kid(self, algorithm: str) -> str:
        """The id of the present key for RS256 or ES256."""
        return next(kid for kid in self.keys if kid.startswith(algorithm))

    def token(
        self,
        *,
        algorithm: str = "RS256",
        headers: dict[str, Any] | None = None,
        key: Any = None,
        without: tuple[str, ...] = (),
        **claims: Any,
    ) -> str:
        """A signed token that is valid for a minute unless the claims say otherwise.

        Args:
            headers: Beside `kid`; a `kid` of None leaves it out.
            key: Signs with another key than ours.
            without: Claims to leave out.
        """
        now = int(time.time())
        whole = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 60, **claims}
        kid = self.kid(algorithm) if algorithm in ("RS256", "ES256") else "any"
        header = {k: v for k, v in {"kid": kid, **(headers or {})}.items() if v is not None}
        payload = {name: value for name, value in whole.items() if name not in without}
        return jwt.encode(payload, key or self.keys[kid], algorithm=algorithm, headers=header)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = request.split(" ")[1]
            if length := re.search(r"(?i)content-length: (\d+)", request):
                form = (await reader.readexactly(int(length[1]))).decode()
                self.forms.append(dict(parse_qsl(form, keep_blank_values=True)))
            self.heads.append(request)
            self.requests[path] += 1
            self._came.set()
            if self.mode == "hang":
                await reader.read()  # until the client gives up
                return
            writer.write(self._response(path))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._clients.discard(writer)
            writer.close()

    def _response(self, path: str) -> bytes:
        served = {"/.well-known/openid-configuration": self.discovery, "/jwks": self.jwks}
        status, found = self.answers.get(path) or (200 if path in served else 404, served.get(path))
        status = 500 if self.mode == "error" else status
        body = b"<html>" if self.mode == "nonsense" else json.dumps(found).encode()
        head = f"HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        return f"{head}connection: close\r\n\r\n".encode() + body


def _public(kid: str, key: Any) -> dict[str, Any]:
    algorithm: Any = jwt.get_algorithm_by_name(kid.split("-", maxsplit=1)[0])
    found: dict[str, Any] = algorithm.to_jwk(key.public_key(), as_dict=True)
    return {**found, "kid": kid, "use": "sig", "alg": kid.split("-", maxsplit=1)[0]}
