"""Switches that hold for every test: no network but loopback, no key, a home of its own."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Generator, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import settings

from core.observability import reset_logging

# structlog's default prints every local variable of an exception; of an agent's frames that takes seconds.
structlog.get_config()["processors"][-1].exception_formatter = structlog.dev.plain_traceback

# An example that takes long says how busy the machine is.
settings.register_profile("waystation", settings(), deadline=None)
settings.load_profile("waystation")

# Fixtures that any test may ask for; their servers start when one does.
pytest_plugins = (
    "waystation.testing.fixtures",
    "tests.kit.botocore_once",
    "tests.kit.browser",
    "tests.kit.certificates",
    "tests.kit.compiled_once",
    "tests.kit.forked_tools",
    "tests.kit.forked_programs",
    "tests.kit.mcp_house",
    "tests.kit.migrated",
    "tests.kit.patience",
    "tests.kit.sample_module",
    "tests.kit.sampled",
    "tests.kit.spent",
    "tests.kit.together",
)

# Whoever asks for one of these waits for a process of its own: `make check` leaves it out.
_SERVERS = {
    "chromium_address",
    "mcp_server",
    "model_server",
    "postgres_server",
    "postgres_url",
    "rag_server",
    "redis_server",
    "sample_module",
    "s3_server",
}
_LOOPBACK = ("127.", "::1", "localhost")
_connect = socket.socket.connect


def _guarded_connect(self: socket.socket, address: Any) -> None:
    if isinstance(address, tuple) and not str(address[0]).startswith(_LOOPBACK):
        raise RuntimeError(f"a test tried to reach {address[0]}; only loopback is allowed")
    _connect(self, address)


# These wait most, for processes that start and die: begun last, they would be waited for alone.
_FIRST = ("e2e", "outages", "clients", "graph", "integration")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a server, for `-m "not server"`, the quick part; what takes longest comes first."""
    items.sort(key=lambda item: _rank(item.path))
    for item in items:
        asked = set(getattr(item, "fixturenames", ()))
        if asked & _SERVERS or on_postgresql(item):
            item.add_marker("server")


def on_postgresql(item: pytest.Item) -> bool:
    """True for the one of a test's variants that runs on PostgreSQL."""
    given = getattr(getattr(item, "callspec", None), "params", {}).values()
    return any(value in {"postgres", "postgresql"} for value in given if isinstance(value, str))


def _rank(path: Path) -> int:
    folder = path.relative_to(Path(__file__).parent).parts[0]
    return _FIRST.index(folder) if folder in _FIRST else len(_FIRST)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Next to nothing of what is imported goes again: to look for it takes a fifth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """What has been imported stays: the collector need not look at it again during the tests."""
    gc.collect()
    gc.freeze()
    # A twentieth of what the tests take, where it looks after each 700 objects.
    gc.set_threshold(7000)


@pytest.fixture(scope="session", autouse=True)
def _only_loopback() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", _guarded_connect)
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def _words_in_shared_fixtures() -> Iterator[None]:
    """What is set up for more than one test is set up before `_clean_environment` says so."""
    patch = pytest.MonkeyPatch()
    patch.setenv("WAYSTATION_RAG__SEARCH", "words")
    yield
    patch.undo()


_homes = count()


@pytest.fixture(autouse=True)
def _clean_environment(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "WAYSTATION_", "LANGCHAIN_", "LANGSMITH_", "AWS_")):
            monkeypatch.delenv(name)
    # A folder for each test takes a millisecond: it is made where somebody asks for it.
    if "tmp_path" in request.fixturenames:
        home = request.getfixturevalue("tmp_path") / "home"
    else:
        home = tmp_path_factory.getbasetemp() / f"home-{next(_homes)}"
    monkeypatch.setenv("WAYSTATION_HOME", str(home))
    # Vectors of the handbook take a core for seconds; tests of meaning ask for them.
    monkeypatch.setenv("WAYSTATION_RAG__SEARCH", "words")


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    yield
    reset_logging()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
