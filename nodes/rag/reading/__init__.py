"""From a file to the text that is indexed and quoted."""

from nodes.rag.reading.extraction import Extractor
from nodes.rag.reading.reader import (
    DOCUMENTS,
    Kind,
    NotText,
    Place,
    Text,
    is_text,
    kind_of,
    passed_over,
    read_document,
    read_text,
    unread_reason,
)
from nodes.rag.reading.text_cache import TextCache

__all__ = [
    "DOCUMENTS",
    "Extractor",
    "Kind",
    "NotText",
    "Place",
    "Text",
    "TextCache",
    "is_text",
    "kind_of",
    "passed_over",
    "read_document",
    "read_text",
    "unread_reason",
]
