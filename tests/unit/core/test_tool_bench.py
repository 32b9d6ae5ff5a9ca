"""How a command line finds the tools that another module brings."""

from __future__ import annotations

import pytest

from core.errors import Unavailable
from core.registry import discover
from core.tool_bench import open_bench


async def test_the_bench_of_the_module_that_has_one_is_opened() -> None:
    async with open_bench() as bench:
        assert "calculator" in bench.servers()


async def test_without_such_a_module_it_is_said_that_there_are_no_tools() -> None:
    modules = [module for module in discover() if module.bench is None]
    with pytest.raises(Unavailable, match="no module here brings tools"):
        async with open_bench(modules):
            pass
