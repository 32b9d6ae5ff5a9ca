"""A tool server over stdio that costs next to nothing: one tool, `add`.

Plain JSON a line, without an SDK: what is measured is who calls it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

TOOL = {
    "name": "add",
    "description": "Add two numbers",
    "inputSchema": {
        "type": "object",
        "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
        "required": ["a", "b"],
    },
}


def result_of(method: str, given: dict[str, Any]) -> dict[str, Any]:
    """The result of a request."""
    if method == "initialize":
        server = {"name": "calc", "version": "1"}
        version = given["protocolVersion"]
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server}
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call":
        arguments = given["arguments"]
        text = str(arguments["a"] + arguments["b"])
        return {"content": [{"type": "text", "text": text}], "isError": False}
    return {}


def main() -> None:
    """Until its input ends."""
    for line in sys.stdin:
        asked = json.loads(line)
        if "id" not in asked or "method" not in asked:
            continue
        told = {
            "jsonrpc": "2.0",
            "id": asked["id"],
            "result": result_of(asked["method"], asked.get("params") or {}),
        }
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
