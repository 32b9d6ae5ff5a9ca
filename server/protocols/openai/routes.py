"""The routes of OpenAI's wire."""

from __future__ import annotations

from fastapi import APIRouter

from server.protocols.openai import chat, embeddings, models, responses

router = APIRouter(prefix="/v1")

router.include_router(models.router)
router.include_router(chat.router)
router.include_router(responses.router)
router.include_router(embeddings.router)
