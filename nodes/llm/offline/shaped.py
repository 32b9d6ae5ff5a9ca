"""What the offline model says, as JSON: what it knows is filled in, and nothing is made up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def shaped(text: str, number: str | None, form: Mapping[str, Any]) -> str:
    """The answer as one JSON object.

    Without a schema that is `{"answer": text}`. Of a schema, the first property that is a text has the
    answer, and the first that is a number has the number that a tool gave.

    Args:
        number: What the last tool of this turn gave, where that was a number.
        form: `response_format`, as chat completions write it.
    """
    held = form.get("json_schema")
    schema = held.get("schema") if isinstance(held, Mapping) else None
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping):
        return json.dumps({"answer": text}, ensure_ascii=False)
    known: dict[str, Any] = {"string": text}
    if number is not None:
        value = float(number)
        known["number"] = int(value) if value.is_integer() else value
        if value.is_integer():
            known["integer"] = int(value)
    found: dict[str, Any] = {}
    for name, part in properties.items():
        kind = part.get("type") if isinstance(part, Mapping) else None
        if isinstance(kind, str) and kind in known:
            found[name] = known.pop(kind)
            if kind != "string":
                known = {key: one for key, one in known.items() if key == "string"}
    return json.dumps(found, ensure_ascii=False)
