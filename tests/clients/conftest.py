"""Real clients against a real service: a process of its own, on a scripted model."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.clients import service_on
from waystation.testing.model_server import ModelServer
from waystation.testing.service import Service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, _model_server: ModelServer) -> Iterator[Service]:
    """The service of a file of tests: the bundled calculator, one small source, a login for nobody."""
    with service_on(tmp_path_factory.mktemp("clients"), _model_server.url) as service:
        yield service
