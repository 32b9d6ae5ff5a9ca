"""No secret in a log line: by the name of its key, by what it looks like, and by having been registered."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from structlog.typing import EventDict, WrappedLogger

REDACTED = "***"

# A registered secret this short stands in half of all words; it could not be told from them.
_SHORTEST = 6
_DEEPEST = 8
# A longer text is cut. What is looked through goes on a little, so that no secret is cut before it is seen.
_LONGEST = 32_768
_OVERLAP = 2_048

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET_WORDS = frozenset(
    {
        *("apikey", "authorization", "bearer", "cookie", "cookies", "credential", "credentials", "dsn"),
        *("passphrase", "passwd", "password", "passwords", "pwd", "secret", "secrets", "token"),
    }
)
_SECRET_KEYS = frozenset({"access", "account", "api", "encryption", "private", "secret", "signing"})

# Every group is kept, what is around them is not. Each alternative begins with something literal and each
# repetition is bounded, so that a hostile text costs no more than its length.
_LOOKS_SECRET = re.compile(
    r"""
      -----BEGIN\ [A-Z ]{0,30}PRIVATE\ KEY-----(?:(?!-----BEGIN)[\s\S]){0,4096}?
        -----END\ [A-Z ]{0,30}PRIVATE\ KEY-----
    | (\b(?:proxy-)?authorization["']?\s{0,3}[:=]\s{0,3}["']?)[^"'\r\n,;}]+
    | (\b(?:set-)?cookie["']?\s{0,3}[:=]\s{0,3}["']?)[^"'\r\n}]+
    | (\bbearer\s{1,3})[\w.~+/=-]{6,}
    | (\bbasic\s{1,3})(?=[a-z+/]{0,256}[\d+/=])[\w+/=-]{8,}
    | (://[^\s/@:'"]{0,256}:)[^\s/'"]{1,1024}(?=@)
    | ([?&](?:x-amz-(?:signature|credential|security-token)|sig|signature|code|key)=)[^&\s"'#]+
    | (/files/link/)[^\s/?#"']+
    | (\b(?:[a-z0-9]{1,32}[_-]){0,4}
        (?:api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key|passphrase|passwd|password|secret|token)
        ["']?(?:\s{0,3}=\s{0,3}|:\s{0,3})(?:SecretStr\()?+["']?+)(?!\*\*)[^\s"',;&(){}\[\]<>]+
    | \b(sk[-_]|wsk_|whsec_|gh[opsur]_|hf_|xox[abeprs]-)[\w-]{8,}
    | \b(AKIA|ASIA)[0-9A-Z]{16}\b
    | \beyJ[\w-]{8,512}\.[\w-]{8,8192}\.[\w-]{0,4096}
    """,
    re.VERBOSE | re.IGNORECASE,
)

# A text with none of these in it has nothing that looks secret: most texts, found out 50 times faster.
_HINTS = (
    *("://", "?", "/link/", "key", "pass", "secret", "token", "auth", "cookie", "bearer", "basic", "private"),
    *("sk-", "sk_", "sec_", "gh", "hf_", "xox", "akia", "asia", "eyj"),
)


class _Registered:
    """The secrets that this process knows, as one pattern."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._lock = threading.Lock()
        self.pattern: re.Pattern[str] | None = None

    def add(self, secret: str) -> None:
        with self._lock:
            if secret in self._values:
                return
            self._values |= {secret, quote(secret, safe="")}
            longest_first = sorted(self._values, key=len, reverse=True)
            self.pattern = re.compile("|".join(map(re.escape, longest_first)))


_registered = _Registered()


def never_log(secret: str) -> None:
    """Take `secret` out of every later log line, wherever it stands. Fewer than 6 characters are ignored."""
    if len(secret) >= _SHORTEST:
        _registered.add(secret)


def clean(text: str) -> str:
    """The text with every secret in it replaced by `***`."""
    if _registered.pattern is not None:
        text = _registered.pattern.sub(REDACTED, text)
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS):
        return text
    return _LOOKS_SECRET.sub(_kept, text)


def _kept(found: re.Match[str]) -> str:
    return "".join(group for group in found.groups() if group) + REDACTED


@lru_cache(maxsize=2048)
def names_secret(key: str) -> bool:
    """Whether a value under this key is a secret: `api_key`, `X-Auth-Token`, `clientSecret`, ..."""
    words = [word.lower() for word in _WORDS.findall(key)]
    if not words:
        return False
    if words[-1] == "key":
        return len(words) > 1 and words[-2] in _SECRET_KEYS
    return words[-1] in _SECRET_WORDS


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """structlog processor: the event without secrets. Stands after exceptions became text."""
    return {str(key): _cleaned(str(key), value, 0) for key, value in event.items()}


def _cleaned(key: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if names_secret(key):
        return REDACTED
    return _safe(value, depth)


def _safe(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _short(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if depth >= _DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return {clean(str(key)): _cleaned(str(key), item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_safe(item, depth + 1) for item in value]
    # The renderer would print its repr, too late for us to look at.
    return _short(repr(value))


def _short(text: str) -> str:
    if len(text) <= _LONGEST:
        return clean(text)
    return f"{clean(text[: _LONGEST + _OVERLAP])[:_LONGEST]}... ({len(text)} characters)"
