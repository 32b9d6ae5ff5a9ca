"""What the container writes for itself is compiled once: a third of what it takes to open an agent.

Its text is the same in each of them, and a program that opens one never meets it twice.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from functools import lru_cache

import pytest
from dishka.code_tools import code_builder


@pytest.fixture(scope="session", autouse=True)
def _compiled_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        # By its name in that file, where it is looked for before among the builtins.
        patch.setattr(code_builder, "compile", lru_cache(maxsize=None)(builtins.compile), raising=False)
        yield
