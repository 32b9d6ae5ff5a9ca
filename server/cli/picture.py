"""Draw a graph as a PNG, in layers from its start down; no network, no browser."""

from __future__ import annotations

import io
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from langchain_core.runnables.graph import Edge, Graph
from PIL import Image, ImageDraw, ImageFont

from graph.insight.usage import layers

WIDTH, HEIGHT = 190, 48
GAP_X, GAP_Y, MARGIN = 60, 46, 80
INK, FILL, PAPER = "#1f2937", "#eef2ff", "white"
DASH = 6
Point = tuple[float, float]


def draw_png(graph: Graph) -> bytes:
    """The picture. Dashed lines are decisions; a line at the side leads back to an earlier step."""
    levels = layers(graph)
    places = _places(levels)
    right = max(x for x, _ in places.values()) + WIDTH / 2 + MARGIN
    bottom = max(y for _, y in places.values()) + HEIGHT / 2 + MARGIN / 2
    image = Image.new("RGB", (int(right), int(bottom)), PAPER)
    pen = ImageDraw.Draw(image)
    for edge in graph.edges:
        _edge(pen, edge, places, levels)
    for node, (x, y) in places.items():
        box = (x - WIDTH / 2, y - HEIGHT / 2, x + WIDTH / 2, y + HEIGHT / 2)
        pen.rounded_rectangle(box, 10, FILL, INK, 2)
        pen.text((x, y), node.strip("_"), INK, ImageFont.load_default(17), anchor="mm")
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _places(levels: Mapping[str, int]) -> dict[str, Point]:
    rows: dict[int, list[str]] = {}
    for node, level in levels.items():
        rows.setdefault(level, []).append(node)
    widest = max(map(len, rows.values()))
    middle = MARGIN + widest * (WIDTH + GAP_X) / 2
    places = {}
    for level, nodes in rows.items():
        left = middle - (len(nodes) - 1) * (WIDTH + GAP_X) / 2
        for index, node in enumerate(nodes):
            y = MARGIN / 2 + HEIGHT / 2 + level * (HEIGHT + GAP_Y)
            places[node] = (left + index * (WIDTH + GAP_X), y)
    return places


def _edge(pen: Any, edge: Edge, places: Mapping[str, Point], levels: Mapping[str, int]) -> None:
    (x1, y1), (x2, y2) = places[edge.source], places[edge.target]
    step = levels[edge.target] - levels[edge.source]
    if step > 0:
        path = [(x1, y1 + HEIGHT / 2), (x2, y2 - HEIGHT / 2)]
    elif step == -1:
        # Beside the way down, so that both can be seen.
        path = [(x1 + 24, y1 - HEIGHT / 2), (x2 + 24, y2 + HEIGHT / 2)]
    else:
        side = min(x for x, _ in places.values()) - WIDTH / 2 - 30
        path = [(x1 - WIDTH / 2, y1), (side, y1), (side, y2), (x2 - WIDTH / 2, y2)]
    for start, end in pairwise(path):
        _line(pen, start, end, dashed=edge.conditional)
    _head(pen, path[-2], path[-1])


def _line(pen: Any, start: Point, end: Point, *, dashed: bool) -> None:
    length = max(((end[0] - start[0]) ** 2 + (end[1] - start[1]) ** 2) ** 0.5, 1)
    pieces = int(length / DASH) if dashed else 1
    for piece in range(0, pieces, 2):
        a, b = piece / pieces, min((piece + 1) / pieces, 1)
        pen.line([_between(start, end, a), _between(start, end, b)], INK, 2)


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _head(pen: Any, before: Point, tip: Point) -> None:
    length = max(((tip[0] - before[0]) ** 2 + (tip[1] - before[1]) ** 2) ** 0.5, 1)
    dx, dy = (tip[0] - before[0]) / length, (tip[1] - before[1]) / length
    base = (tip[0] - 11 * dx, tip[1] - 11 * dy)
    pen.polygon([tip, (base[0] - 5 * dy, base[1] + 5 * dx), (base[0] + 5 * dy, base[1] - 5 * dx)], INK)
