"""What every adapter of a port promises: a suite per port, run by a class with one fixture.

class TestMine(RetrieverContract):
    @pytest.fixture
    def retriever(self) -> Retriever:
        return MyRetriever("handbook", DOCUMENTS)
"""

from pathlib import Path

import pytest

# Assertions that fail here show their values, as they do in test files.
pytest.register_assert_rewrite(
    *(f"{__name__}.{path.stem}" for path in Path(__file__).parent.glob("[a-z]*.py"))
)
