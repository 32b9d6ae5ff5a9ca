"""What modules and agents of a test are set to, where the test says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.settings import Book
from nodes.rag.module import MODULE
from nodes.rag.settings import RagSettings
from waystation.testing import module_container


@pytest.mark.parametrize(
    ("said", "search"),
    [
        ({}, "words"),
        ({"environ": {"WAYSTATION_RAG__LIMIT": "7"}}, "words"),
        ({"environ": {"WAYSTATION_RAG__SEARCH": "meaning"}}, "meaning"),
        ({"rag": {"search": "both"}}, "both"),
    ],
)
async def test_they_search_by_words_unless_the_test_says_otherwise(
    tmp_path: Path, said: dict[str, Any], search: str
) -> None:
    async with module_container(MODULE, tmp_path, **said) as container:
        assert (await container.get(Book))[RagSettings].search == search
