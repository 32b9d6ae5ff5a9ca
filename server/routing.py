"""How routes come into an application."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI


def add_router(app: FastAPI, router: APIRouter) -> None:
    """Serve the routes of a router as they are.

    FastAPI's `include_router` would analyse each a second time, when the first request comes: that is for
    routers that get a prefix or dependencies where they are included. Ours have theirs from the beginning.
    """
    app.router.routes.extend(router.routes)
