"""Real clients against real services: processes on a scripted model that all files here share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.clients import service_on
from waystation.testing.model_server import ModelServer
from waystation.testing.service import Service

APPROVAL = '{"calculator": {"require_approval": ["*"]}}'


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, _model_server: ModelServer) -> Iterator[Service]:
    """The bundled calculator, one small source, a login for nobody."""
    with service_on(tmp_path_factory.mktemp("clients"), _model_server.url) as service:
        yield service


@pytest.fixture(scope="session")
def asking_service(tmp_path_factory: pytest.TempPathFactory, _model_server: ModelServer) -> Iterator[Service]:
    """As `service`, but its calculator asks a person, unless the caller says otherwise."""
    lowered = {"MCP__CALLERS_MAY_LOWER_APPROVAL": "true"}
    files = {"mcp.json": APPROVAL}
    with service_on(tmp_path_factory.mktemp("asking"), _model_server.url, files=files, **lowered) as service:
        yield service
