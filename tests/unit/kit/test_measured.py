"""Which tests' coverage is measured."""

from __future__ import annotations

import pytest

from tests.kit.measured import is_measured


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_of_a_test_on_both_databases_one_is_measured(request: pytest.FixtureRequest, database: str) -> None:
    assert is_measured(request.node) == (database == "sqlite")
