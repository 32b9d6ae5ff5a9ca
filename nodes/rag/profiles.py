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
_KNOWN: tuple[tuple[re.Pattern[str], Profile], ...] = tuple(
    (re.compile(rf"(?:^|[/_-])(?:{name})", re.IGNORECASE), profile)
    for name, profile in (
        (r"(?:multilingual-)?e5-[\w-]*instruct|qwen3-embedding", _prefixed(_INSTRUCTED)),
        (r"(?:multilingual-)?e5-", _prefixed("query: ", "passage: ")),
        (r"nomic-embed-text|modernbert-embed", _prefixed("search_query: ", "search_document: ")),
        (r"bge-(?:small|base|large)-en|mxbai-embed|uae-large", _prefixed(_RELEVANT)),
        (r"bge-(?:small|base|large)-zh", _prefixed("为这个句子生成表示以用于检索相关文章：")),
        (r"(?:snowflake-)?arctic-embed(?:2|[\w-]*v2)", _prefixed("query: ")),
        (r"(?:snowflake-)?arctic-embed", _prefixed(_RELEVANT)),
        (r"embeddinggemma", _prefixed("task: search result | query: ", "title: none | text: ")),
        # Of this one `encoding_format` may be `base64` or nothing.
        (r"voyage-", _typed("query", "document", dimensions="output_dimension", encoding_format=None)),
        (r"nv-embedqa|llama-3\.2-nv-embedqa|llama-nemotron-embed", _typed("query", "passage")),
    )
)


def profile_of(model: str) -> Profile:
    """What a model of this name wants; nothing, where nothing is known of it."""
    return next((profile for name, profile in _KNOWN if name.search(model)), Profile())
