"""The machine's certificates are read once for all clients of a process: each reads them anew otherwise.

It takes 23 ms of a core, and of a hundred clients that tests open, ninety-nine speak plain HTTP. What says
which certificates count, an argument or the environment, still does.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from functools import cache
from typing import Any

import httpx
import httpx._transports.default as of_httpx
import httpx2
import httpx2._transports.default as of_httpx2
import pytest

_NAME = "create_ssl_context"
_NAMED_IN = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def _kept(read: Callable[..., ssl.SSLContext]) -> Callable[..., ssl.SSLContext]:
    @cache
    def by_environment(*_named: str | None, trust_env: bool) -> ssl.SSLContext:
        return read(verify=True, trust_env=trust_env)

    def found(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
        if verify is not True or cert is not None:
            return read(verify=verify, cert=cert, trust_env=trust_env)
        return by_environment(*map(os.environ.get, _NAMED_IN), trust_env=trust_env)

    return found


def read_once() -> None:
    """From now on, in this process and in those that are forked from it."""
    for library, inside in ((httpx, of_httpx), (httpx2, of_httpx2)):
        kept = _kept(getattr(library, _NAME))
        setattr(library, _NAME, kept)
        setattr(inside, _NAME, kept)


@pytest.fixture(scope="session", autouse=True)
def _certificates_are_read_once() -> None:
    read_once()
