"""What botocore knows of S3 is read once for all clients of a process: each reads 3 MB of JSON otherwise.

It takes 0.13 s of a core, of 0.15 that a client takes. A service has one client.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import lru_cache

import pytest


@pytest.fixture(scope="session", autouse=True)
def _botocore_is_read_once() -> Iterator[None]:
    # Where no test has to do with buckets, none waits for its imports.
    if "botocore" not in sys.modules:
        yield
        return
    from botocore.loaders import create_loader

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.session.create_loader", lru_cache(maxsize=None)(create_loader))
        yield
