"""Validated start-up values: files, environment, and errors that name file, line and key."""

from core.settings.book import Book, inspect_book, read_book
from core.settings.declare import ConfigFile, Finding, Named, Section, Strict
from core.settings.document import Document, read_document
from core.settings.loader import Context, load_file, load_sections
from core.settings.places import Places
from core.settings.problems import ConfigErrors, ConfigProblem, masked, nearest

__all__ = [
    "Book",
    "ConfigErrors",
    "ConfigFile",
    "ConfigProblem",
    "Context",
    "Document",
    "Finding",
    "Named",
    "Places",
    "Section",
    "Strict",
    "inspect_book",
    "load_file",
    "load_sections",
    "masked",
    "nearest",
    "read_book",
    "read_document",
]
