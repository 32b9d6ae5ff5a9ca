"""What a model of an endpoint for embeddings wants to be told: whether a text is a question or a passage.

Many models were trained with a few words before each text, and some endpoints take them as a field of the
request. Without them vectors come all the same, and find less.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, field_validator

from core.settings import Strict

Purpose = Literal["question", "passage"]
# What every request says by itself.
_OURS = ("model", "input", "dimensions")


class Wish(Strict):
    """How texts of one kind are sent to an endpoint for embeddings."""

    prefix: str = Field("", max_length=2000, description="Put before each text, its space included.")
    fields: dict[str, str | int | float | bool | None] = Field(
        default_factory=dict,
        description="Further fields of the request, as `{input_type: query}`; null leaves one out.",
    )

    @field_validator("fields")
    @classmethod
    def _not_ours(cls, value: dict[str, object]) -> dict[str, object]:
        for name in value:
            if name in _OURS:
                raise ValueError(
                    f"'{name}' is set by itself; name the field that the endpoint wants beside it"
                )
        return value


PLAIN = Wish()


@dataclass(frozen=True, slots=True)
class Profile:
    """What a kind of model wants.

    Args:
        dimensions: The field that says how many numbers a vector shall have.
    """

    question: Wish = PLAIN
    passage: Wish = PLAIN
    dimensions: str = "dimensions"


def _prefixed(question: str, passage: str = "") -> Profile:
    return Profile(Wish(prefix=question), Wish(prefix=passage))


def _typed(question: str, passage: str, *, dimensions: str = "dimensions", **more: None) -> Profile:
    """For endpoints that put the words before the text themselves."""
    asked, held = {"input_type": question, **more}, {"input_type": passage, **more}
    return Profile(Wish(fields=asked), Wish(fields=held), dimensions)


_RELEVANT = "Represent this sentence for searching relevant passages: "
_INSTRUCTED = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "

# By a part of the model's name, the first that fits; as the cards of the models say.
_KNOWN = (
    (re.compile(r"\b(?:multilingual-)?e5-[\w-]{0,40}instruct|\bqwen3-embedding"), _prefixed(_INSTRUCTED)),
    (re.compile(r"\b(?:multilingual-)?e5-"), _prefixed("query: ", "passage: ")),
    (
        re.compile(r"\b(?:nomic-embed-text|modernbert-embed)"),
        _prefixed("search_query: ", "search_document: "),
    ),
    (re.compile(r"\b(?:bge-(?:small|base|large)-en|mxbai-embed|uae-large)"), _prefixed(_RELEVANT)),
    (re.compile(r"\bbge-(?:small|base|large)-zh"), _prefixed("为这个句子生成表示以用于检索相关文章：")),
    (re.compile(r"\barctic-embed(?:2|[\w-]{0,40}v2)"), _prefixed("query: ")),
    (re.compile(r"\barctic-embed"), _prefixed(_RELEVANT)),
    (re.compile(r"\bembeddinggemma"), _prefixed("task: search result | query: ", "title: none | text: ")),
    # Of this one `encoding_format` may be `base64` or nothing.
    (
        re.compile(r"\bvoyage-"),
        _typed("query", "document", dimensions="output_dimension", encoding_format=None),
    ),
    (re.compile(r"\b(?:nv-embedqa|llama-nemotron-embed)"), _typed("query", "passage")),
)


def profile_of(model: str) -> Profile:
    """What a model of this name wants; nothing, where nothing is known of it."""
    return next((profile for name, profile in _KNOWN if name.search(model.lower())), Profile())
