"""From a file to the text that is indexed and quoted."""

from nodes.rag.reading.reader import (
    Kind,
    NotText,
    Text,
    kind_of,
    passed_over,
    read_document,
    read_text,
    unread_reason,
)

__all__ = ["Kind", "NotText", "Text", "kind_of", "passed_over", "read_document", "read_text", "unread_reason"]
