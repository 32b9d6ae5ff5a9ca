"""What `tests.kit.spent` measures and `tests.kit.sampled` draws for, in the same words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

# Scopes of fixtures that more than one test has, all in one file.
SHARED = ("class", "module")


def shared_name(fixture: pytest.FixtureDef[Any]) -> str:
    """Of a fixture, in the record: the file that it stands in, and its name."""
    return f"{fixture.baseid}::{fixture.argname}"


def cost_of(row: Mapping[str, Any]) -> float:
    """Seconds of a core of a row that was measured.

    A quarter of the clock counts at least: Chromium's processes are not seen, and who waits keeps a worker.
    """
    return float(max(row["own"] + row["children"], row["wall"] / 4))
