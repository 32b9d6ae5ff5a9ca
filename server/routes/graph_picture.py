"""The graph as SVG: plain shapes with classes, which a page colours; alone it is drawn in black and white."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN, SIDE = 190, 58, 46, 44, 14, 46
_PLAIN = (
    "<defs><marker id='tip' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='8' markerHeight='8'"
    " orient='auto-start-reverse'><path d='M0 0 L8 4 L0 8 z' class='tip'/></marker></defs>"
)


def svg(graph: Mapping[str, Any]) -> str:
    """The picture of what `/graph` gives; a node has its name as `data-step`."""
    nodes = {node["id"]: node for node in graph["nodes"]}
    widest = max(node["beside"] for node in nodes.values())
    span = widest * WIDTH + (widest - 1) * GAP_X
    places = {key: _place(node, span) for key, node in nodes.items()}
    levels = max(node["level"] for node in nodes.values()) + 1
    width, height = 2 * SIDE + span, 2 * MARGIN + levels * HEIGHT + (levels - 1) * GAP_Y
    edges = "".join(_edge(edge, nodes, places) for edge in graph["edges"])
    drawn = "".join(_node(node, *places[key]) for key, node in nodes.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" class="graph" role="img" aria-label="The graph of a turn" font-size="14"'
        f' font-family="system-ui, sans-serif">{_PLAIN}<g fill="none" stroke="currentColor">{edges}</g>'
        f"{drawn}</svg>"
    )


def _place(node: Mapping[str, Any], span: float) -> tuple[float, float]:
    mine = node["beside"] * WIDTH + (node["beside"] - 1) * GAP_X
    x = SIDE + (span - mine) / 2 + node["place"] * (WIDTH + GAP_X)
    return x, MARGIN + node["level"] * (HEIGHT + GAP_Y)


def _edge(
    edge: Mapping[str, Any], nodes: Mapping[str, Any], places: Mapping[str, tuple[float, float]]
) -> str:
    (x1, y1), (x2, y2) = places[edge["from"]], places[edge["to"]]
    down = nodes[edge["to"]]["level"] - nodes[edge["from"]]["level"]
    middle = WIDTH / 2
    if down > 0:
        path = f"M{x1 + middle} {y1 + HEIGHT} L{x2 + middle} {y2 - 2}"
    elif down == -1:
        # Beside the way down, so that both can be seen.
        path = f"M{x1 + middle + 26} {y1} L{x2 + middle + 26} {y2 + HEIGHT + 2}"
    else:
        left = min(x for x, _ in places.values()) - SIDE + 8
        y1, y2 = y1 + HEIGHT / 2, y2 + HEIGHT / 2
        path = f"M{x1} {y1} C{left} {y1} {left} {y2} {x2 - 2} {y2}"
    dashed = ' stroke-dasharray="5 4"' if edge["conditional"] else ""
    about = f"data-from={quoteattr(edge['from'])} data-to={quoteattr(edge['to'])}"
    return f'<path class="edge" d="{path}" stroke-width="1.5" marker-end="url(#tip)"{dashed} {about}/>'


def _node(node: Mapping[str, Any], x: float, y: float) -> str:
    figures = node["figures"]
    kind = "node" if figures is not None else "node end"
    below = _said(figures) if figures else ""
    middle, name_y = x + WIDTH / 2, y + (HEIGHT / 2 + 5 if figures is None else 25)
    return (
        f'<g class="{kind}" data-step={quoteattr(node["id"])} data-part={quoteattr(node["part"] or "")}>'
        f"<title>{escape(node['name'] + (': ' + below if below else ''))}</title>"
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="10" fill="none" stroke="currentColor"/>'
        f'<text class="name" x="{middle}" y="{name_y}" text-anchor="middle" fill="currentColor">'
        f"{escape(node['name'])}</text>"
        f'<text class="figures" x="{middle}" y="{y + 44}" text-anchor="middle" font-size="12"'
        ' fill="currentColor">'
        f"{escape(below)}</text></g>"
    )


def _said(figures: Mapping[str, Any]) -> str:
    if not figures["count"]:
        return "never ran"
    errors = f", {figures['errors']} failed" if figures["errors"] else ""
    return f"{figures['count']} × {milliseconds(figures['median_ms'])}{errors}"


def milliseconds(taken: float) -> str:
    """A time as people read it: 0.4 ms, 12 ms, 3.1 s."""
    if taken >= 1000:
        return f"{taken / 1000:.1f} s"
    return f"{taken:.0f} ms" if taken >= 10 else f"{taken:.1f} ms"
