"""Words that a browser keeps for us: signed, so that it can read them and not change them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from core.home import kept_secret
from core.identity.errors import IdentityUnavailable


class Signer:
    """Writes and reads signed words; any process that has the secret reads them.

    Args:
        secret: At least 32 characters, or the file that keeps one and is made when first needed.
    """

    def __init__(self, secret: str | Path) -> None:
        self._source = secret
        self._secret = secret.encode() if isinstance(secret, str) else b""

    def written(self, purpose: str, said: Mapping[str, Any]) -> str:
        """What is said, with its `until` in seconds since 1970; one purpose does not read another's.

        Raises:
            IdentityUnavailable: The secret cannot be kept.
        """
        text = orjson.dumps(said)
        return f"{_text(text)}.{_text(self._tag(purpose, text))}"

    def read(self, purpose: str, value: str) -> dict[str, Any] | None:
        """What was said; None where it is over, or none of ours.

        Raises:
            IdentityUnavailable: The secret cannot be read.
        """
        try:
            said, tag = (base64.urlsafe_b64decode(part + "==") for part in value.split("."))
        except (ValueError, binascii.Error):
            return None
        if not hmac.compare_digest(self._tag(purpose, said), tag):
            return None
        found: dict[str, Any] = orjson.loads(said)
        return found if found["until"] > time.time() else None

    def _tag(self, purpose: str, said: bytes) -> bytes:
        if not self._secret and isinstance(self._source, Path):
            try:
                self._secret = kept_secret(self._source).encode()
            except (OSError, ValueError) as error:
                raise IdentityUnavailable(
                    f"the secret that signs logins ({self._source.name}) cannot be kept; see to the file, "
                    "or set auth.session_secret"
                ) from error
        return hmac.digest(self._secret, purpose.encode() + b"\n" + said, hashlib.sha256)


def cookie_in(headers: Mapping[str, str], cookie: str) -> str:
    """The cookie's value in a request's headers; "" where there is none, or several to choose from."""
    pairs = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
    found = [value for name, _, value in pairs if name == cookie]
    return found[0] if len(found) == 1 else ""


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
