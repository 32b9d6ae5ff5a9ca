"""The server side of `rag_server`: retrieval over HTTP as other backends speak it, and embeddings."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.kit.rag_server import CORPUS

Body = dict[str, Any]

# Words that mean the same share a dimension, as they would in a real embedding.
_MEANINGS = (
    {"leave", "holiday", "vacation", "holidays", "days"},
    {"train", "travel", "journey", "journeys", "trip", "railway"},
    {"password", "passwords", "security", "credential", "secret"},
    {"salary", "salaries", "pay", "paid", "wage"},
    {"cat", "cats", "animal", "kitten"},
    {"cake", "baking", "oven", "flour"},
)


class Board:
    """What the control routes change and the others read."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.how: Body = {}
        self.requests: list[Body] = []


def _words(text: str) -> set[str]:
    return {w for w in re.findall(r"[a-z]+", text.lower()) if len(w) > 3}


def _visible(user: str) -> list[str]:
    return [name for name in CORPUS if name != "payroll" or user.startswith("boss")]


def _matches(query: str, corpora: list[str], top_k: int) -> list[Body]:
    asked = _words(query)
    found = []
    for corpus in corpora:
        for name, text in CORPUS[corpus].items():
            shared = len(asked & _words(text))
            if shared:
                found.append({"corpus": corpus, "name": name, "text": text, "score": shared / len(asked)})
    return sorted(found, key=lambda item: -item["score"])[:top_k]


def _reference(item: Body) -> Body:
    return {
        "citation": f"Handbook, {item['name']}",
        "document_ref": 7,
        "filename": f"/srv/data/{item['corpus']}/{item['name']}",
        "sections": [{"section_ref": "1", "text": item["text"], "relevance": item["score"]}],
    }


def _v1_newer(found: list[Body]) -> Body:
    content = found[0]["text"] if found else ""
    return {
        "message": {"role": "assistant", "content": content, "annotations": None},
        "metadata": {"response_time": 3, "references": [_reference(item) for item in found]},
    }


def _v1_older(found: list[Body]) -> Body:
    documents = [
        {
            "id": item["name"],
            "corpus_id": item["corpus"],
            "text": item["text"],
            "confidence_score": item["score"] * 100,
            "content_type": "text",
        }
        for item in found
    ]
    return {
        "id": "c-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "See the documents."}}],
        "rag_metadata": {
            "query_processing_time_ms": 3,
            "documents_found": documents,
            "data_sources": ["handbook"],
            "retrieval_method": "words",
        },
    }


def _v2(body: Body, found: list[Body]) -> Body:
    if body["mode"] == "synthesized":
        citations = [
            {k: r[k] for k in ("document_ref", "filename", "citation")} for r in map(_reference, found)
        ]
        return {"results": {"answer": found[0]["text"] if found else "", "citations": citations}}
    hits = [{**_reference(item), "title": item["name"].removesuffix(".md").title()} for item in found]
    return {
        "query": body["query"],
        "mode": "raw",
        "results": {"hits": hits, "stats": {"total_found": len(hits), "top_k": body["top_k"]}},
        "metadata": {"response_time_ms": 3, "corpora_searched": body["corpora"]},
    }


def _vector(text: str) -> list[float]:
    words = set(re.findall(r"[a-z]+", text.lower()))
    return [0.01 + float(len(words & meaning)) for meaning in _MEANINGS]


def build(board: Board) -> Starlette:
    """The application; `board` is shared with the control routes."""

    async def fault(route: str) -> Response | None:
        kind = board.how.get("fault")
        if not kind or board.how.get("only", route) != route:
            return None
        if kind == "hang":
            await asyncio.Event().wait()
        bodies: dict[str, Response] = {
            "status": JSONResponse({"detail": "scripted"}, board.how.get("status", 500)),
            "text": PlainTextResponse("this is no JSON"),
            "wrong": JSONResponse({"something": "else"}),
            "huge": PlainTextResponse("x" * (9 * 1024 * 1024)),
        }
        return bodies[str(kind)]

    def note(request: Request, route: str, body: Body) -> Response | None:
        """Remember the request; a refusal where the token is wrong."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        user = request.query_params.get("as_user", "")
        board.requests.append({"route": route, "as_user": user, "token": token, "body": body})
        return JSONResponse({"detail": "no"}, 401) if board.token and token != board.token else None

    async def discover(request: Request) -> Response:
        refused = note(request, "discover", dict(request.query_params)) or await fault("discover")
        if refused:
            return refused
        listed = [
            {"id": name, "label": name.title(), "compliance_level": "Internal", "description": f"The {name}."}
            for name in _visible(request.query_params["as_user"])
        ]
        return JSONResponse({"data_sources": listed} if board.how.get("discovery") == "object" else listed)

    async def completions(request: Request) -> Response:
        body = await request.json()
        refused = note(request, "query", body) or await fault("query")
        if refused:
            return refused
        corpora = body["corpora"] if isinstance(body["corpora"], list) else [body["corpora"]]
        if not set(corpora) <= set(_visible(request.query_params["as_user"])):
            return JSONResponse({"detail": "forbidden"}, 403)
        found = _matches(body["messages"][-1]["content"], corpora, 10)
        return JSONResponse(_v1_older(found) if board.how.get("shape") == "older" else _v1_newer(found))

    async def query(request: Request) -> Response:
        body = await request.json()
        refused = note(request, "query", body) or await fault("query")
        if refused:
            return refused
        if not body["query"].strip():
            return JSONResponse({"detail": "empty query"}, 400)
        return JSONResponse(_v2(body, _matches(body["query"], body["corpora"], body["top_k"])))

    async def embeddings(request: Request) -> Response:
        body = await request.json()
        refused = note(request, "embeddings", body) or await fault("embeddings")
        if refused:
            return refused
        data = [{"index": i, "embedding": _vector(text)} for i, text in enumerate(body["input"])]
        return JSONResponse({"data": data[::-1], "model": body["model"]})

    async def behave(request: Request) -> Response:
        board.how = await request.json()
        return JSONResponse({})

    async def requests(_: Request) -> Response:
        return JSONResponse(board.requests)

    async def forget(_: Request) -> Response:
        board.requests.clear()
        board.how = {}
        return JSONResponse({})

    return Starlette(
        routes=[
            Route("/api/v1/discover/datasources", discover),
            Route("/api/v2/discover/datasources", discover),
            Route("/somewhere/else", discover),
            Route("/api/v1/rag/completions", completions, methods=["POST"]),
            Route("/api/v2/rag/query", query, methods=["POST"]),
            Route("/v1/embeddings", embeddings, methods=["POST"]),
            Route("/control/behave", behave, methods=["POST"]),
            Route("/control/requests", requests),
            Route("/control/forget", forget, methods=["POST"]),
        ]
    )


def main() -> None:
    """Listen on a free port and say which."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--token", default="")
    board = Board(parser.parse_args().token)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    config = uvicorn.Config(build(board), log_level="error", access_log=False, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
