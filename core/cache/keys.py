"""Under which key an answer stands: what was asked, and by somebody with which rights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from core.access import Principal


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
