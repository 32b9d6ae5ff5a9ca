"""Models of endpoints are told which text is a question and which a passage, each in its own way."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from nodes.rag.adapters.embeddings import EndpointEmbedder
from nodes.rag.endpoints import EmbedderEntry
from nodes.rag.errors import SourceUnavailable
from nodes.rag.profiles import PLAIN, Purpose, profile_of
from waystation.testing.rag_server import RagServer


@pytest.mark.parametrize(
    ("model", "question", "passage"),
    [
        ("intfloat/multilingual-e5-small", "query: ", "passage: "),
        ("e5-base-v2", "query: ", "passage: "),
        ("nomic-embed-text:latest", "search_query: ", "search_document: "),
        ("nomic-ai/nomic-embed-text-v1.5", "search_query: ", "search_document: "),
        ("BAAI/bge-small-en-v1.5", "Represent this sentence for searching relevant passages: ", ""),
        ("mxbai-embed-large", "Represent this sentence for searching relevant passages: ", ""),
        (
            "Snowflake/snowflake-arctic-embed-m",
            "Represent this sentence for searching relevant passages: ",
            "",
        ),
        ("Snowflake/snowflake-arctic-embed-l-v2.0", "query: ", ""),
        ("snowflake-arctic-embed2:568m", "query: ", ""),
        ("embeddinggemma:300m", "task: search result | query: ", "title: none | text: "),
        ("BAAI/bge-m3", "", ""),
        ("text-embedding-3-small", "", ""),
        ("granite-embedding", "", ""),
        ("all-minilm-l6-v2", "", ""),
    ],
)
def test_a_model_is_known_by_its_name(model: str, question: str, passage: str) -> None:
    known = profile_of(model)
    assert (known.question.prefix, known.passage.prefix) == (question, passage)


@pytest.mark.parametrize("model", ["Qwen/Qwen3-Embedding-0.6B", "intfloat/multilingual-e5-large-instruct"])
def test_a_model_that_is_instructed_gets_the_instruction_with_questions_alone(model: str) -> None:
    known = profile_of(model)
    assert known.question.prefix.startswith("Instruct: ")
    assert known.passage == PLAIN


def entry(server: RagServer, **said: Any) -> EmbedderEntry:
    return EmbedderEntry.model_validate({"url": f"{server.url}/v1", "model": "m", **said})


async def sent(server: RagServer, text: str, purpose: Purpose, **said: Any) -> dict[str, Any]:
    async with httpx.AsyncClient(trust_env=False) as http:
        await EndpointEmbedder(entry(server, **said), http=http, purpose=purpose).embed([text])
    body: dict[str, Any] = server.requests()[-1]["body"]
    return body


async def test_questions_and_passages_go_as_the_model_wants_them(rag_server: RagServer) -> None:
    asked = await sent(rag_server, "annual leave", "question", model="e5-small")
    held = await sent(rag_server, "annual leave", "passage", model="e5-small")
    assert (asked["input"], held["input"]) == (["query: annual leave"], ["passage: annual leave"])


async def test_what_the_entry_says_wins_over_what_is_known(rag_server: RagServer) -> None:
    asked = await sent(rag_server, "leave", "question", model="e5-small", question={})
    fields = {"task": "retrieval.query"}
    other = await sent(rag_server, "leave", "question", question={"prefix": "q: ", "fields": fields})
    assert asked["input"] == ["leave"]
    assert other == {"model": "m", "input": ["q: leave"], "encoding_format": "float", **fields}


async def test_an_endpoint_with_types_of_its_own_is_told_them_and_nothing_that_it_refuses(
    rag_server: RagServer,
) -> None:
    asked = await sent(rag_server, "leave", "question", model="voyage-3.5", dimensions=3)
    held = await sent(rag_server, "leave", "passage", model="voyage-3.5", dimensions=3)
    told = {"model": "voyage-3.5", "input": ["leave"], "output_dimension": 3}
    assert (asked, held) == (told | {"input_type": "query"}, told | {"input_type": "document"})


async def test_of_a_vector_as_many_numbers_are_kept_as_were_asked_for(rag_server: RagServer) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        [whole] = await EndpointEmbedder(entry(rag_server), http=http).embed(["wages"])
        short = EndpointEmbedder(entry(rag_server, dimensions=3), http=http)
        assert await short.embed(["wages"]) == [whole[:3]]
        assert rag_server.requests()[-1]["body"]["dimensions"] == 3
        large = EndpointEmbedder(entry(rag_server, dimensions=5000), http=http)
        with pytest.raises(SourceUnavailable, match="fewer than its `dimensions`, 5000"):
            await large.embed(["wages"])


async def test_a_text_that_is_made_shorter_keeps_what_stands_before_it(rag_server: RagServer) -> None:
    rag_server.behave(longest=200)
    body = await sent(rag_server, "annual leave " * 100, "question", model="e5-small")
    assert body["input"][0].startswith("query: annual leave")


@pytest.mark.parametrize("field", ["model", "input", "dimensions"])
def test_a_field_that_every_request_has_is_not_set_twice(field: str) -> None:
    with pytest.raises(ValidationError, match=f"'{field}' is set by itself"):
        EmbedderEntry.model_validate({"url": "http://x", "model": "m", "passage": {"fields": {field: "x"}}})


def test_an_index_is_another_one_where_passages_are_sent_in_another_way() -> None:
    def flavour(**said: Any) -> str:
        return EmbedderEntry.model_validate({"url": "http://x/v1", "model": "m", **said}).flavour

    plain = flavour()
    assert plain == "http://x/v1 m"
    assert flavour(question={"prefix": "query: "}) == plain
    others = [
        flavour(passage={"prefix": "passage: "}),
        flavour(dimensions=3),
        flavour(passage={"fields": {"a": 1}}),
    ]
    assert len({plain, *others}) == 4
