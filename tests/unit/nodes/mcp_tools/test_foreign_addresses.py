"""A tool fetches what we signed, and nothing that a model made up."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.mcp_tools.calls import foreign_address


@pytest.mark.parametrize(
    "arguments",
    [
        {"filename": "http://127.0.0.1:9200/_all"},
        {"filename": " FILE:///etc/passwd"},
        {"file_names": ["sales.csv", "ftp://host/x"]},
    ],
)
def test_an_address_in_place_of_a_file_name_is_found(arguments: dict[str, Any]) -> None:
    assert foreign_address(arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"filename": "report: final.csv"},
        {"filename": "data:text/csv,a"},
        {"url": "http://x"},
        {"file_names": 3},
        {},
    ],
)
def test_names_and_other_parameters_are_left_alone(arguments: dict[str, Any]) -> None:
    assert foreign_address(arguments) == ""
