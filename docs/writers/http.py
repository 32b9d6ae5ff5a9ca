"""docs/reference/openapi.json: the routes."""

from __future__ import annotations

import orjson

from server.app import create_app


def page() -> str:
    """The service's own description with sorted keys."""
    described = create_app().openapi()
    return orjson.dumps(described, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode() + "\n"
