"""An entry as it is stored: its key, when it ends, its signature, and the answer as JSON."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from core.access import Principal


class StoreDown(Exception):
    """The store does not answer, or did not a moment ago."""


class StoredAnswer(NamedTuple):
    """An answer from the store, and for how many more seconds it stands there."""

    value: Any
    ttl: int


def packed(key: str, content: bytes, *, ttl_s: float, secret: bytes) -> bytes:
    """The entry for `content`, good for `ttl_s` seconds under this key only."""
    head = f"{time.time() + ttl_s:.3f}".encode()
    return b"\n".join((head, _signature(key, head, content, secret), content))


def unpacked(key: str, entry: Any, adapter: TypeAdapter[Any], *, secret: bytes) -> StoredAnswer | None:
    """The answer in an entry; None for one that is over, or that is none of ours.

    Redis may hold what another release or another program wrote: whatever
    does not validate is as good as nothing.
    """
    if not isinstance(entry, bytes) or entry.count(b"\n", 0, 200) < 2:
        return None
    head, signature, content = entry.split(b"\n", 2)
    if not hmac.compare_digest(signature, _signature(key, head, content, secret)):
        return None
    try:
        left = float(head) - time.time()
        return StoredAnswer(adapter.validate_json(content), round(left)) if left > 0 else None
    except (ValueError, ValidationError):
        return None


def adapter_of(as_type: Any) -> TypeAdapter[Any]:
    """The adapter of a type."""
    return as_type if isinstance(as_type, TypeAdapter) else _adapter(as_type)


@lru_cache(maxsize=256)
def _adapter(as_type: Any) -> TypeAdapter[Any]:
    # Kept: making one takes longer than a whole look-up.
    return TypeAdapter(as_type)


def _signature(key: str, head: bytes, content: bytes, secret: bytes) -> bytes:
    if not secret:
        return b""
    whole = b"\n".join((key.encode(), head, content))
    return hmac.new(secret, whole, hashlib.sha256).hexdigest().encode()


def key_of(namespace: str, kind: str, key: Sequence[Any], who: Principal | None) -> str:
    """A key that tells nothing of what it was made from.

    Args:
        key: JSON-able parts.
        who: Callers that differ in id, groups or levels never share an entry;
            None: the answer is the same for everyone.

    Raises:
        TypeError: A part is not JSON-able.
    """
    rights = [who.id, sorted(who.groups), sorted(who.levels)] if who else None
    text = json.dumps([list(key), rights], sort_keys=True, separators=(",", ":"))
    return f"{prefix_of(namespace, kind)}{hashlib.sha256(text.encode()).hexdigest()}"


def prefix_of(namespace: str, kind: str) -> str:
    """What the keys of a kind begin with."""
    return f"{namespace}:cache:{kind}:"
