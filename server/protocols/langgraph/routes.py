"""The routes of the LangGraph SDK's wire."""

from __future__ import annotations

from fastapi import APIRouter

from server.protocols.langgraph import assistants, beside, crons, following, runs, store, threads

router = APIRouter(prefix="/langgraph")

# Those with fixed words stand before those that would read them as an id.
for part in (beside, assistants, crons, store, runs, following, threads):
    router.include_router(part.router)
