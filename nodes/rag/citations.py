"""From the [n] of an answer to quotes that stand word for word in the cited documents."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from core.rows import is_row
from nodes.rag.terms import terms

MAX_QUOTE_CHARS = 600

_MARK = re.compile(r"\[\s*(\d{1,4}(?:\s*[,;]\s*\d{1,4})*)\s*\]")
# A full stop before space ends a sentence, and so does a line's end before a list item, row or heading.
# The dot of "1. first" and of "e.g." ends nothing.
_STOP = r"(?<=[.!?…])(?<!^\d\.)(?<!^\d\d\.)(?<!\be\.g\.)(?<!\bi\.e\.)[\"'”’)\]]*(?:\s*\[[\d,;\s]+\])*(?=\s)"
_ITEM = r"\n(?=\s*(?:[-*+|>#]|\d+[.)]\s))"
_END = re.compile(rf"{_STOP}|[。！？।॥؟۔።]|{_ITEM}|\n\s*\n", re.MULTILINE)


def cite(answer: str, documents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One citation per document that `answer` refers to as [n], in order of first mention.

    The quote is the sentence of the document that shares most with the
    sentences that carry its [n]. A number that no document has is passed over.

    Args:
        documents: Dicts of the graph's state: n, source, document, title, text, uri.
    """
    by_number = {int(document["n"]): document for document in documents}
    claims: dict[int, list[str]] = {}
    for sentence in _claims(answer):
        for number in cited_numbers(sentence):
            if number in by_number:
                claims.setdefault(number, []).append(_MARK.sub(" ", sentence))
    return [_citation(n, by_number[n], " ".join(said)) for n, said in claims.items()]


def cited_numbers(text: str) -> list[int]:
    """The distinct n of [n], [n, m] and [n][m], in order."""
    found = (int(n) for mark in _MARK.finditer(text) for n in re.findall(r"\d+", mark.group(1)))
    return list(dict.fromkeys(found))


def sentences(text: str) -> list[str]:
    """Verbatim sentences, list items, rows and lines of `text`, without the space around them."""
    found: list[str] = []
    prose: list[str] = []
    for line in text.split("\n"):
        if not is_row(line):
            prose.append(line)
            continue
        found += [*_prose("\n".join(prose)), line.strip()]
        prose = []
    return [*found, *_prose("\n".join(prose))]


def _prose(text: str) -> Iterator[str]:
    start = 0
    for end in [*(m.end() for m in _END.finditer(text)), len(text)]:
        piece = text[start:end].strip()
        start = end
        if piece:
            yield piece


def best_sentence(text: str, claim: str) -> str:
    """The sentence of `text` that shares the most with `claim`; the first where none shares anything."""
    candidates = [s for s in sentences(text) if terms(s)] or sentences(text)
    if not candidates:
        return ""
    # A heading names a subject and states nothing: quote it only where there is no more.
    said = [s for s in candidates if not s.startswith("#")] or candidates
    wanted, claimed = set(terms(claim)), " ".join(claim.split())
    best = max(said, key=lambda s: _likeness(s, wanted, claimed))
    return best if len(best) <= MAX_QUOTE_CHARS else _part(best, wanted)


def _part(sentence: str, wanted: set[str]) -> str:
    """Of what is too long to quote, the stretch with most of what is wanted: a wide row's cells, say."""
    step = MAX_QUOTE_CHARS // 4
    starts = range(0, len(sentence) - MAX_QUOTE_CHARS + step, step)
    at = max(starts, key=lambda i: len(wanted & set(terms(sentence[i : i + MAX_QUOTE_CHARS]))))
    if at:  # not amid a word
        at = sentence.find(" ", at, at + step) + 1 or at
    return sentence[at : at + MAX_QUOTE_CHARS].strip()


def _claims(answer: str) -> list[str]:
    """The answer's sentences; a mark that stands alone after a full stop belongs to what it follows."""
    found: list[str] = []
    for sentence in sentences(answer):
        if found and not _MARK.sub("", sentence).strip(" .;,"):
            found[-1] += " " + sentence
        else:
            found.append(sentence)
    return found


def _likeness(sentence: str, wanted: set[str], claimed: str) -> tuple[bool, float]:
    here = set(terms(sentence))
    shared = len(here & wanted)
    # The share of both sides, so that neither a long sentence nor a one-word line wins by its size.
    both = 2 * shared / (len(here) + len(wanted)) if here or wanted else 0.0
    return " ".join(sentence.split()) in claimed, both


def _citation(n: int, document: Mapping[str, Any], claim: str) -> dict[str, Any]:
    return {
        "n": n,
        "source": document["source"],
        "document": document["document"],
        "title": document["title"],
        "quote": best_sentence(str(document["text"]), claim),
        "uri": document["uri"],
    }
