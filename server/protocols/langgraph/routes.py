"""The routes of the LangGraph SDK's wire."""

from __future__ import annotations

from server.protocols.langgraph import assistants, beside, crons, following, runs, store, threads
from server.protocols.switch import wire_router

router = wire_router("langgraph")

# Those with fixed words stand before those that would read them as an id.
for part in (beside, assistants, crons, store, runs, following, threads):
    router.routes.extend(part.router.routes)
