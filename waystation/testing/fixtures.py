"""The fixtures of the kit: for a conftest.py that says `pytest_plugins = ("waystation.testing.fixtures",)`.

Servers start when the first test asks for one, and slow libraries are imported then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from waystation.testing.mcp_servers import IsolatedServer
    from waystation.testing.model_server import ModelServer
    from waystation.testing.rag_server import RagServer
    from waystation.testing.s3 import S3Server

pytest_plugins = ("waystation.testing.redis", "waystation.testing.postgres")


@pytest.fixture(scope="session")
def _model_server() -> Iterator[ModelServer]:
    from waystation.testing.model_server import ModelServer

    with ModelServer() as server:
        yield server


@pytest.fixture
def model_server(_model_server: ModelServer) -> ModelServer:
    """A scripted OpenAI-compatible server, with nothing scripted."""
    _model_server.reset()
    return _model_server


@pytest.fixture(scope="session")
def _rag_server() -> Iterator[RagServer]:
    from waystation.testing.rag_server import RagServer

    with RagServer() as server:
        yield server


@pytest.fixture
def rag_server(_rag_server: RagServer) -> RagServer:
    """A retrieval service that behaves."""
    _rag_server.forget()
    return _rag_server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A real S3 API; take a bucket of your own."""
    from waystation.testing.s3 import S3Server

    with S3Server() as server:
        yield server


@pytest.fixture
async def mcp_server(tmp_path: Path) -> AsyncIterator[IsolatedServer]:
    """An MCP server process of the test's own, in an empty folder."""
    from waystation.testing.mcp_servers import isolated

    async with isolated(tmp_path / "mcp-server") as server:
        yield server
