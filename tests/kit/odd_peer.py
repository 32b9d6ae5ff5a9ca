"""An MCP server that says what it is told to: `python odd_peer.py SCRIPT`.

SCRIPT is a JSON file: `tools` (the entries of its list), or `pages` (results of
tools/list by cursor, "" for the first); `calls` (by tool: what it answers, a
message without id and version, or {"line": text} with `ID` in place of the id);
`opened` (what its first answer has beside or instead of the usual); `before`
(messages that it sends ahead of each answer to a call).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

Message = dict[str, Any]

OPENED: Message = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {"listChanged": True}},
    "serverInfo": {"name": "odd", "version": "1"},
}


def answer_to(script: Message, request: Message) -> Message:
    """The message, without id and version, that answers a request."""
    method, params = request.get("method"), request.get("params") or {}
    if method == "initialize":
        return {"result": {**OPENED, **script.get("opened", {})}}
    if method == "tools/list":
        if "pages" in script:
            return script["pages"][params.get("cursor") or ""]  # type: ignore[no-any-return]  # of a script
        return {"result": {"tools": script.get("tools", [])}}
    if method == "tools/call":
        return script.get("calls", {}).get(params["name"], {"result": {"content": []}})  # type: ignore[no-any-return]  # of a script
    return {"result": {}}


def as_line(answer: Message, number: Any) -> str:
    if "line" in answer:
        return str(answer["line"]).replace("ID", json.dumps(number))
    return json.dumps({"jsonrpc": "2.0", "id": number, **answer})


def main(script: Message) -> None:
    heard: list[Message] = []
    for line in sys.stdin:
        request = json.loads(line)
        if "method" not in request:
            heard.append(request)
        elif "id" in request:
            lines = [as_line(answer_to(script, request), request["id"])]
            if request["method"] == "tools/call":
                if request["params"]["name"] == "heard":  # what we answered to requests of its own
                    content = [{"type": "text", "text": json.dumps(heard)}]
                    lines = [as_line({"result": {"content": content}}, request["id"])]
                lines[:0] = [m if isinstance(m, str) else json.dumps(m) for m in script.get("before", [])]
            sys.stdout.write("".join(f"{one}\n" for one in lines))
            sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
