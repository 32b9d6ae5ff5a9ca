"""A retrieval service behind MCP, of the official SDK: `python rag_mcp_server.py MODE LOG [PORT]`.

Its corpus is that of `rag_server`: `handbook` is open, `payroll` only to users whose name begins with
`boss`, and `board` is for the group `board` and the level `secret`. MODE is `normal`, `flat` (hits
without sections, and `username` throughout), `refuse`, `fail`, `hang`, `odd` or `bare` (no tools).
Each call is a line of JSON in the file LOG. With PORT it serves over HTTP, else over stdio.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any

from mcp.server.fastmcp import FastMCP
from pydantic import Field

HANDBOOK = {
    "leave.md": "Every employee has thirty days of annual leave. Leave is requested in the portal.",
    "travel.md": "Train journeys are booked in second class. Receipts are kept for one year.",
    "security.md": "Passwords are rotated every ninety days. Laptops are encrypted with a hardware key.",
}
CORPUS = {
    "handbook": HANDBOOK,
    "payroll": {"salaries.md": "Salaries are paid on the last working day of the month."},
    "board": {"minutes.md": "The board meets in secret on the first of May."},
}
RESOURCES: list[dict[str, Any]] = [
    {"id": "handbook", "name": "Handbook", "authRequired": True, "defaultSelected": True},
    {"id": "payroll", "name": "Payroll", "authRequired": True, "groups": ["staff"], "complianceLevel": ""},
    {"id": "board", "name": "Board", "authRequired": True, "groups": ["board"], "compliance_level": "secret"},
]
Answer = dict[str, Any]
ATLAS_USER = Field(alias="_atlas_user")


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"[a-z]+", text.lower()) if len(word) > 3}


def _hits(query: str, sources: list[str], top_k: int, *, flat: bool) -> list[Answer]:
    asked = _words(query)
    found = []
    for source in sources:
        for name, text in CORPUS[source].items():
            score = len(asked & _words(text)) / (len(asked) or 1)
            if score and flat:
                found.append({"resourceId": source, "title": name, "snippet": text, "score": score})
            elif score:
                section = {"section_ref": "1", "text": text, "relevance": score}
                title = f"/srv/data/{name}"
                found.append({"document_ref": 7, "filename": title, "title": name, "sections": [section]})
    return sorted(found, key=lambda hit: -_score(hit))[:top_k]


def _score(hit: Answer) -> float:
    return float(hit["score"] if "score" in hit else hit["sections"][0]["relevance"])


class Service:
    """What each tool does, in one of the modes."""

    def __init__(self, mode: str, log: Path) -> None:
        self.mode = mode
        self._log = log

    async def called(self, tool: str, user: str, **arguments: Any) -> None:
        """Note the call, and misbehave where the mode says so."""
        with self._log.open("a") as log:
            log.write(json.dumps({"tool": tool, "user": user, **arguments}) + "\n")
        if self.mode == "hang":
            await asyncio.Event().wait()
        if self.mode == "refuse":
            raise PermissionError("access denied for this user")
        if self.mode == "fail":
            raise ValueError("the index is being moved")

    async def discover(self, user: str) -> Answer:
        await self.called("discover", user)
        seen = [r for r in RESOURCES if r["id"] != "payroll" or user.startswith("boss")]
        odd: list[Any] = ["no object", {"id": "x", "authRequired": "neither"}] if self.mode == "odd" else []
        return {"results": {"resources": [*odd, *seen]}, "meta_data": {"elapsed_ms": 1}}

    async def raw(self, user: str, query: str, sources: list[str], top_k: int) -> Answer:
        await self.called("raw", user, query=query, sources=sources, top_k=top_k)
        if "payroll" in sources and not user.startswith("boss"):
            raise PermissionError("not allowed: payroll")
        if self.mode == "odd":
            return {"something": "else"}
        hits = _hits(query, sources, top_k, flat=self.mode == "flat")
        return {"results": {"hits": hits, "stats": {"total_found": len(hits), "top_k": top_k}}}

    async def synthesized(self, user: str, query: str, sources: list[str], top_k: int) -> Answer:
        await self.called("synthesized", user, query=query, sources=sources, top_k=top_k)
        hits = _hits(query, sources, top_k, flat=True)
        citations = [
            {"resourceId": h["resourceId"], "title": h["title"], "snippet": h["snippet"]} for h in hits
        ]
        answer = hits[0]["snippet"] if hits else ""
        return {"results": {"answer": answer, "citations": citations, "limits": {"truncated": False}}}


def add_tools(server: FastMCP, service: Service) -> None:
    """The tools, with the user's parameter by its usual name."""

    async def discover(**given: str) -> Answer:
        return await service.discover(given["_atlas_user"])

    # The SDK takes no name with such a beginning, and gives a parameter by its alias.
    user = inspect.Parameter("user", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[str, ATLAS_USER])
    discover.__signature__ = inspect.Signature([user], return_annotation=Answer)  # type: ignore[attr-defined]
    server.tool(name="rag_discover_resources")(discover)
    add_queries(server, service)


def add_older_tools(server: FastMCP, service: Service) -> None:
    """The same with `username` throughout."""

    @server.tool(name="rag_discover_resources")
    async def discover(username: str) -> Answer:
        return await service.discover(username)

    add_queries(server, service)


def add_queries(server: FastMCP, service: Service) -> None:
    """The tools that search."""

    @server.tool(name="rag_get_raw_results")
    async def raw(  # noqa: PLR0917 - the parameters of the format
        username: str,
        query: str,
        sources: list[str],
        filters: dict[str, Any],
        top_k: int = 8,
        ranking: dict[str, Any] | None = None,
    ) -> Answer:
        return await service.raw(username, query, sources, top_k)

    @server.tool(name="rag_get_synthesized_results")
    async def synthesized(  # noqa: PLR0917 - as above
        username: str,
        query: str,
        sources: list[str],
        top_k: int = 8,
        synthesis_params: dict[str, Any] | None = None,
        provided_context: dict[str, Any] | None = None,
    ) -> Answer:
        return await service.synthesized(username, query, sources, top_k)


def main(mode: str, log: str, port: str = "") -> None:
    """Serve until the session or the process ends."""
    server = FastMCP("retrieval", host="127.0.0.1", port=int(port or 0), log_level="ERROR")
    if mode != "bare":
        (add_older_tools if mode == "flat" else add_tools)(server, Service(mode, Path(log)))
    server.run(transport="streamable-http" if port else "stdio")


if __name__ == "__main__":
    main(*sys.argv[1:])
