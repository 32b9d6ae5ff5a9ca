"""Datagrams that prove to come from a process of this home.

A tag keyed with the home's token, and topics, one a line. The token itself does
not travel: a port of a process that died may belong to a stranger by now.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

TAG_BYTES = 16
TOKEN_BYTES = 32
# macOS takes no more than 9216 bytes.
MOST_BYTES = 8192


def sealed(token: bytes, topics: Iterable[str]) -> Iterator[bytes]:
    """As few datagrams as carry the topics."""
    lines: list[bytes] = []
    size = TAG_BYTES
    for topic in topics:
        line = topic.encode("ascii")
        if lines and size + len(line) + 1 > MOST_BYTES:
            yield _seal(token, lines)
            lines, size = [], TAG_BYTES
        lines.append(line)
        size += len(line) + 1
    if lines:
        yield _seal(token, lines)


def unsealed(token: bytes, datagram: bytes) -> list[str]:
    """Its topics; none when it does not come from a holder of the token."""
    if not TAG_BYTES < len(datagram) <= MOST_BYTES:
        return []
    tag, body = datagram[:TAG_BYTES], datagram[TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(token, body)):
        return []
    return body.decode("ascii").split("\n")


def kept_token(path: Path) -> bytes:
    """The token in the file; made once, readable by its owner alone, also when several ask at once.

    Raises:
        OSError: The file cannot be read or written, or holds no token.
    """
    if not path.exists():
        _make_token(path)
    token = path.read_bytes()
    if len(token) != TOKEN_BYTES:
        raise OSError(errno.EINVAL, f"state/{path.name} is damaged; delete it and start again")
    return token


def _make_token(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(TOKEN_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # Fails, unlike a rename, when another process was first.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _seal(token: bytes, lines: list[bytes]) -> bytes:
    body = b"\n".join(lines)
    return _tag(token, body) + body


def _tag(token: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(body, key=token, digest_size=TAG_BYTES).digest()
