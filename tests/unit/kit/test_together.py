"""What is one piece of work for a worker."""

from __future__ import annotations

import pytest

from tests.kit.together import piece_of


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("tests/unit/test_a.py::test_x", "tests/unit/test_a.py::test_y[1::2]", True),
        ("tests/unit/test_a.py::test_x", "tests/unit/test_b.py::test_x", False),
        ("tests/clients/test_a.py::test_x", "tests/clients/test_b.py::TestX::test_y", True),
        ("tests/clients/test_a.py::test_x", "tests/e2e/test_a.py::test_x", False),
    ],
)
def test_a_file_is_and_so_are_files_that_share_a_service(one: str, other: str, *, together: bool) -> None:
    assert (piece_of(one) == piece_of(other)) == together
