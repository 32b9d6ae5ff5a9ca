"""The routes of OpenAI's wire."""

from __future__ import annotations

from server.protocols.openai import chat, embeddings, files, models, responses
from server.protocols.switch import wire_router

router = wire_router("openai")

for part in (models, chat, responses, embeddings, files):
    router.routes.extend(part.router.routes)
