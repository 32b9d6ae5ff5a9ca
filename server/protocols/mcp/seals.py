"""What a client keeps for us and cannot change: a session, the name of a question, a place to go on from.

It is signed, not hidden: it holds nothing that its user may not know.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

import orjson

from graph.agent import Agent
from nodes.file_storage.links import LinkSigner

LONGEST = 8192
_MAC_BYTES = 16


class Seals:
    """Makes and reads them.

    Args:
        key: The same in every process of the service, and after a restart.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    async def of(cls, agent: Agent) -> Seals:
        """Those of the service; of several machines where `file_storage.link_secret` is the same."""
        signer = await agent.container.get(LinkSigner)
        return cls(signer.key_for("waystation/mcp"))

    def seal(self, kind: str, owner: str, words: Mapping[str, Any]) -> str:
        """Visible ASCII. What is sealed for one owner, or as one kind, opens as no other."""
        data = orjson.dumps(words)
        return _text(self._mac(kind, owner, data) + data)

    def open(self, kind: str, owner: str, sealed: object) -> dict[str, Any] | None:
        """What was sealed; None where it was not, or for somebody else."""
        if not isinstance(sealed, str) or len(sealed) > LONGEST or not sealed.isascii():
            return None
        try:
            whole = urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
        except ValueError:
            return None
        mac, data = whole[:_MAC_BYTES], whole[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(kind, owner, data)):
            return None
        found: dict[str, Any] = orjson.loads(data)
        return found

    def digest(self, words: Any) -> str:
        """The same for the same words, and only then; tells nothing of them."""
        data = orjson.dumps(words, option=orjson.OPT_SORT_KEYS)
        return hmac.digest(self._key, b"digest\n" + data, hashlib.sha256).hex()

    def _mac(self, kind: str, owner: str, data: bytes) -> bytes:
        told = orjson.dumps([kind, owner]) + b"\n" + data
        return hmac.digest(self._key, told, hashlib.sha256)[:_MAC_BYTES]


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")
