"""The graph as a picture: every step has its place, and way back and way down do not hide each other."""

from __future__ import annotations

import io

from langchain_core.runnables.graph import Graph
from PIL import Image

from graph.insight.usage import layers
from server.cli.picture import draw_png


def loop() -> Graph:
    graph = Graph()
    nodes = {name: graph.add_node(None, name) for name in ("start", "think", "act", "end")}
    graph.add_edge(nodes["start"], nodes["think"])
    graph.add_edge(nodes["think"], nodes["act"], conditional=True)
    graph.add_edge(nodes["act"], nodes["think"], conditional=True)
    graph.add_edge(nodes["act"], nodes["start"])
    graph.add_edge(nodes["think"], nodes["end"], conditional=True)
    return graph


def test_a_node_stands_as_deep_as_its_shortest_way_from_the_start() -> None:
    assert layers(loop()) == {"start": 0, "think": 1, "act": 2, "end": 2}


def test_the_picture_has_ink_and_paper() -> None:
    image = Image.open(io.BytesIO(draw_png(loop())))
    colours = image.convert("RGB").getcolors(maxcolors=1 << 16) or []
    assert {(255, 255, 255), (31, 41, 55), (238, 242, 255)} <= {colour for _, colour in colours}
