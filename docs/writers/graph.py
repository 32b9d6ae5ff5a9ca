"""docs/reference/graph.md: the picture of the compiled graph."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from core.container import build_container
from core.registry import discover, files_of, sections_of
from core.settings import Context, Places, read_book
from docs.writers.markdown import document
from graph.flow.builder import build_graph
from graph.flow.routing import AfterModel
from graph.flow.steps import Steps
from graph.wiring.bridges import bridges
from graph.wiring.nodes import node_provider


def page() -> str:
    """Drawn from the graph itself; `waystation graph` prints the same."""
    with TemporaryDirectory() as folder:
        picture = asyncio.run(_mermaid(Path(folder)))
    return document(
        "The graph",
        "A dotted line is a choice: from `call_model` to the tools that the model asks for or to the end, "
        "and from `execute_tools` back to the model or, after a pause for a person, to the configuration.",
        f"```mermaid\n{picture.strip()}\n```",
    )


async def _mermaid(folder: Path) -> str:
    """The picture by the packaged defaults: no configuration of this machine is read, no server started."""
    modules = discover()
    context = Context(Places(folder / "config", folder / "home"), {}, {})
    book = read_book(sections_of(modules), files_of(modules), context)
    container = build_container(
        modules, book, node_provider(modules), *bridges(module.name for module in modules)
    )
    try:
        graph = build_graph(await container.get(Steps), await container.get(AfterModel))
        return graph.compile().get_graph().draw_mermaid()
    finally:
        await container.close()
