"""From a file to the text that is indexed and quoted."""

from nodes.rag.reading.kinds import Kind, kind_of, passed_over, unread_reason
from nodes.rag.reading.reader import NotText, Text, read_document, read_text

__all__ = ["Kind", "NotText", "Text", "kind_of", "passed_over", "read_document", "read_text", "unread_reason"]
