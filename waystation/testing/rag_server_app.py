"""The server side of `rag_server`: retrieval over HTTP as other backends speak it, and embeddings."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import re
import struct
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from core.sockets import tcp_listener
from waystation.testing.rag_server import CORPUS

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


def _words(text: str) -> set[str]:
    return {w for w in re.findall(r"[a-z]+", text.lower()) if len(w) > 3}


def _visible(user: str) -> list[str]:
    return [name for name in CORPUS if name != "payroll" or user.startswith("boss")]


def _matches(query: str, corpora: list[str], top_k: int) -> list[Body]:
    asked = _words(query)
    found: list[Body] = []
    for corpus in corpora:
        for name, text in CORPUS[corpus].items():
            shared = len(asked & _words(text))
            if shared:
                found.append({"corpus": corpus, "name": name, "text": text, "score": shared / len(asked)})
    return sorted(found, key=lambda item: item["score"], reverse=True)[:top_k]


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


class Service:
    """The routes, and what the control routes change and remember."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._how: Body = {}
        self._due = 0
        self._seen: list[Body] = []

    async def discover(self, request: Request) -> Response:
        refused = await self._admit(request, "discover", dict(request.query_params))
        if refused:
            return refused
        listed = [
            {"id": name, "label": name.title(), "compliance_level": "Internal", "description": f"The {name}."}
            for name in _visible(request.query_params["as_user"])
        ]
        return JSONResponse({"data_sources": listed} if self._how.get("discovery") == "object" else listed)

    async def completions(self, request: Request) -> Response:
        body = await request.json()
        refused = await self._admit(request, "query", body)
        if refused:
            return refused
        corpora = body["corpora"] if isinstance(body["corpora"], list) else [body["corpora"]]
        if not set(corpora) <= set(_visible(request.query_params["as_user"])):
            return JSONResponse({"detail": "forbidden"}, 403)
        found = _matches(body["messages"][-1]["content"], corpora, 10)
        return JSONResponse(_v1_older(found) if self._how.get("shape") == "older" else _v1_newer(found))

    async def query(self, request: Request) -> Response:
        body = await request.json()
        refused = await self._admit(request, "query", body)
        if refused:
            return refused
        if not body["query"].strip():
            return JSONResponse({"detail": "empty query"}, 400)
        return JSONResponse(_v2(body, _matches(body["query"], body["corpora"], body["top_k"])))

    async def embeddings(self, request: Request) -> Response:
        body = await request.json()
        refused = await self._admit(request, "embeddings", body)
        if refused:
            return refused
        most, longest = self._how.get("most", 1000), self._how.get("longest", 1_000_000)
        if len(body["input"]) > most or max(map(len, body["input"])) > longest:
            return JSONResponse({"error": {"message": "too much"}}, 413)
        wide = 2 if body["model"] == "wide" or self._how.get("wide") else 1
        data = [{"index": i, "embedding": _vector(text) * wide} for i, text in enumerate(body["input"])]
        return JSONResponse({"data": self._written(data[::-1]), "model": body["model"]})

    def _written(self, data: list[Body]) -> list[Body]:
        """Vectors as one kind of endpoint or another writes them."""
        vectors = self._how.get("vectors")
        if vectors == "base64":
            for item in data:
                packed = struct.pack(f"<{len(item['embedding'])}f", *item["embedding"])
                item["embedding"] = base64.b64encode(packed).decode()
        elif vectors == "unnumbered":
            data = [{"embedding": item["embedding"]} for item in data[::-1]]
        elif vectors == "fewer":
            data = data[1:]
        elif vectors == "twice":
            data = [{**item, "index": 0} for item in data]
        elif vectors == "uneven":
            data[0]["embedding"] = data[0]["embedding"][1:]
        elif vectors == "empty":
            data = [{**item, "embedding": []} for item in data]
        return data

    async def rerank(self, request: Request) -> Response:
        body = await request.json()
        refused = await self._admit(request, "rerank", body)
        if refused:
            return refused
        asked, texts = _words(body["query"]), body["documents" if "documents" in body else "texts"]
        scores = [len(asked & _words(text)) / (len(asked) or 1) for text in texts]
        shape = self._how.get("shape")
        if shape == "logits":
            scores = [10 * score - 5 for score in scores]
        name = "score" if "texts" in body else "relevance_score"
        items = sorted(
            ({"index": i, name: score} for i, score in enumerate(scores)), key=lambda item: -item[name]
        )[: body.get("top_n")]
        if "texts" in body:
            return JSONResponse(items)
        return JSONResponse({"model": body["model"], "data" if shape == "data" else "results": items})

    async def behave(self, request: Request) -> Response:
        self._how = await request.json()
        return JSONResponse({})

    async def requests(self, _: Request) -> Response:
        return JSONResponse(self._seen)

    async def forget(self, _: Request) -> Response:
        self._seen.clear()
        self._how = {}
        return JSONResponse({})

    async def _admit(self, request: Request, route: str, body: Body) -> Response | None:
        """Remember the request; a refusal where the token is wrong, or the fault that is due."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        user = request.query_params.get("as_user", "")
        headers = dict(request.headers)
        self._seen.append({"route": route, "as_user": user, "token": token, "body": body, "headers": headers})
        if self._token and token != self._token:
            return JSONResponse({"detail": "no"}, 401)
        return await self._fault(route)

    async def _fault(self, route: str) -> Response | None:
        kind = self._how.get("fault")
        if not kind or self._how.get("only", route) != route or not self._hit():
            return None
        if kind == "hang":
            await asyncio.Event().wait()
        told = {"retry-after": str(self._how["retry_after"])} if "retry_after" in self._how else {}
        bodies: dict[str, Response] = {
            "status": JSONResponse({"detail": "scripted"}, self._how.get("status", 500), headers=told),
            "text": PlainTextResponse("this is no JSON"),
            "wrong": JSONResponse({"something": "else"}),
            "huge": PlainTextResponse("x" * (9 * 1024 * 1024)),
        }
        return bodies[str(kind)]

    def _hit(self) -> bool:
        """Whether the fault hits this request: of ten, as many as `percent` says."""
        self._due += int(self._how.get("percent", 100))
        if self._due < 100:
            return False
        self._due -= 100
        return True


def build(service: Service) -> Starlette:
    """The application around `service`."""
    return Starlette(
        routes=[
            Route("/api/v1/discover/datasources", service.discover),
            Route("/api/v2/discover/datasources", service.discover),
            Route("/somewhere/else", service.discover),
            Route("/api/v1/rag/completions", service.completions, methods=["POST"]),
            Route("/api/v2/rag/query", service.query, methods=["POST"]),
            Route("/v1/embeddings", service.embeddings, methods=["POST"]),
            Route("/v1/rerank", service.rerank, methods=["POST"]),
            Route("/control/behave", service.behave, methods=["POST"]),
            Route("/control/requests", service.requests),
            Route("/control/forget", service.forget, methods=["POST"]),
        ]
    )


def main() -> None:
    """Listen on a free port and say which."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--token", default="")
    service = Service(parser.parse_args().token)
    listener = tcp_listener()  # before the port is told, or an early client is refused
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    config = uvicorn.Config(build(service), log_level="error", access_log=False, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
