"""What a command does not need it does not import: told by packages, since times depend on the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from waystation.testing.agents import write_config

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
# Runs a command, then says on the last line of stderr which packages are there, and how many modules.
PROBE = """
import json, sys
sys.argv = ["waystation", *sys.argv[1:]]
try:
    from server.cli.main import main
    main()
finally:
    tops = sorted({name.partition(".")[0] for name, module in sys.modules.items() if module is not None})
    print(json.dumps([tops, len(sys.modules)]), file=sys.stderr)
"""
VENDORS = {
    "boto3",
    "botocore",
    "openai",
    "langchain_openai",
    "lancedb",
    "pyarrow",
    "numpy",
    "redis",
    "docket",
}
GRAPH = {"langgraph", "langchain_core", "langsmith", "langserve", "graph"}
SERVERS = {"fastapi", "starlette", "uvicorn", "httpx", "aiohttp", "mcp", "langchain_mcp_adapters", "jwt"}
ROWS = {"sqlalchemy", "alembic", "aiosqlite", "psycopg"}
SETTINGS = {"dishka", "prometheus_client", "opentelemetry", "cashews", "cryptography"}
EVERYTHING = VENDORS | GRAPH | SERVERS | ROWS | SETTINGS

# The command, what it must not import, and most modules that it may have in the end.
COMMANDS = [
    ("--help", EVERYTHING | {"yaml", "structlog", "asyncio"}, 480),
    ("--version", EVERYTHING | {"yaml", "structlog", "asyncio"}, 480),
    ("threads --help", EVERYTHING | {"yaml", "asyncio"}, 480),
    ("threads list", EVERYTHING - {"graph"}, 620),
    ("config validate", (EVERYTHING - {"opentelemetry", "prometheus_client", "dishka"}), 900),
    ("config show", (EVERYTHING - {"opentelemetry", "prometheus_client", "dishka"}), 900),
    ("ask hello", {"fastapi", "langserve", "boto3", "openai", "langchain_openai", "docket"}, 2300),
    ("ask --help", EVERYTHING | {"yaml", "asyncio"}, 480),
]


def probed(words: str, home: Path) -> tuple[set[str], int]:
    env = {
        **os.environ,
        "WAYSTATION_HOME": str(home / "home"),
        "WAYSTATION_CONFIG_DIR": str(home / "config"),
    }
    command = [sys.executable, "-c", PROBE, *words.split()]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    tops, modules = json.loads(done.stderr.splitlines()[-1])
    return set(tops), modules


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration, and a database as any command leaves it."""
    folder = tmp_path_factory.mktemp("lazy")
    write_config(folder)
    assert "sqlalchemy" in probed("threads show nothing", folder)[0]
    return folder


@pytest.mark.parametrize(("words", "never", "most"), COMMANDS, ids=[words for words, _, _ in COMMANDS])
def test_a_command_imports_no_more_than_it_needs(words: str, never: set[str], most: int, home: Path) -> None:
    tops, modules = probed(words, home)
    assert not tops & never
    assert modules <= most


def test_a_service_imports_no_more_of_its_libraries_than_it_uses() -> None:
    """Half a second of a core in each process that is started, and 300 files."""
    never = ["langgraph_sdk.client", "langsmith.types.run", "sqlalchemy.orm", "mcp.server.fastmcp", "lancedb"]
    never += ["rich", "pygments", "tornado"]
    code = (
        "import sys; import server.serve\n"
        "print([n for n in sys.argv[1:] if n in sys.modules], len(sys.modules))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, *never], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found, _, modules = told.stdout.rpartition(" ")
    assert found == "[]"
    assert int(modules) <= 2150


def test_a_declaration_of_a_module_imports_nothing_beside_it() -> None:
    code = (
        "import sys; from core.registry import declared; found = declared()\n"
        "print(len(found), sorted({'pydantic', 'asyncio', 'yaml'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    found = len(list((ROOT / "nodes").glob("*/module.py")))
    assert told.stdout == f"{found} []\n"


def test_settings_of_the_whole_service_need_no_graph_and_no_container() -> None:
    code = (
        "import sys; import nodes.config.settings, nodes.config, core.sections\n"
        "print(sorted({n.partition('.')[0] for n in sys.modules} & set(sys.argv[1:])))"
    )
    wanted = sorted(EVERYTHING)
    told = subprocess.run(
        [sys.executable, "-c", code, *wanted], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout == "[]\n"
