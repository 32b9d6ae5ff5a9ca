"""Choose the sentences of the passages that answer a question, and quote them word for word."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from core.languages import is_english, language_of, small
from core.languages import stem as stem_in
from core.words import is_row
from core.words import words as core_words
from nodes.llm.offline.words import content_words, listed, meaning, stem
from nodes.llm.prompt import Passage

COVERED = 0.4
"""Part of the question's weight that the best sentence, with its heading, must carry."""
CLOSE = 0.72
"""A further sentence is quoted when it scores at least this part of the best."""
MOST = 3
ROW_LETTERS = 2000
"""A row of a table is quoted whole, also where it is longer than a sentence: its cells belong together."""
FITS = 1.25
"""Better answers: to "what is …" a sentence that begins with it, to "how many …" one with a number,
to "how do I …" one that says "To …"."""

_FENCE = re.compile(r"^\s*(?:```|~~~)")
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*)")
_TABLE = re.compile(r"^\s*\||\S {3,}\S")  # also columns held apart by spaces
_MARKER = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+")
_SKIPPED = re.compile(r"^\s*(?:<[^>]*>|\[!|---+|===+|!\[)")
# A full stop ends a sentence when a new one can begin behind it.
_END = re.compile(
    r"(?<=[.!?])[\"”')\]]*\s+(?=[\"“„«'(\[`*_¿¡]*[A-Z0-9À-Þ\u0391-\u03a9\u0400-\u042f`])|(?<=[。！？।॥؟۔።])"
)
_SOFT_END = re.compile(r"(?<=[.;!?])\s+")
_WHAT_IS = re.compile(
    r"^\W*(?:what(?:'s| is| are)|define|who is|was (?:ist|sind|bedeutet|hei(?:ß|ss)t)|wer ist"
    r"|qu(?:['’]est[- ]ce que?|i est)|c['’]est quoi|qu[ée] (?:es|son|significa)|qui[ée]n es)\b",
    re.IGNORECASE,
)
_HOW_MUCH = re.compile(
    r"\bhow (?:large|big|long|many|much|often|far|fast|high|old|soon|late)\b"
    r"|\bwie (?:viele?|lange?|oft|hoch|gro(?:ß|ss)|weit|schnell|teuer|alt|sp[äa]t)\b"
    r"|\bcombien(?: de (?:temps|fois))?\b|\bcu[áa]nt[oa]s?\b",
    re.IGNORECASE,
)
_HOW_TO = re.compile(r"^\W*how (?:(?:do|can|should|would) (?:i|we|you|one)|to)\b", re.IGNORECASE)
_QUANTITY = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|once|twice|none|no"
    r"|zwei|drei|vier|f[üu]nf|sechs|sieben|acht|neun|zehn|zw[öo]lf|einmal|zweimal|keine?"
    r"|deux|trois|quatre|cinq|sept|huit|neuf|dix|aucune?"
    r"|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|ning[úu]n)\b",
    re.IGNORECASE,
)
# Words of a question that say nothing of what it is about.
_FILLERS = frozenset(map(stem, listed("""
    good mean meaning explain describe happen happens happened work works need know way best take takes go
    thing called define see
""")))  # fmt: skip
_FILLERS_IN = {
    language: frozenset(stem_in(word, language) for word in listed(said))
    for language, said in {
        "german": """gibt gibts geben bekomme bekommen mache machen komme kommen gehe gehen brauche brauchen
        nehme nehmen darf bedeutet heisst erklare beschreibe funktioniert passiert finde""",
        "french": "faire fait faut dois avoir signifie veut dire explique fonctionne trouver est-ce",
        "spanish": "hacer hago debo tengo significa explica funciona encuentro necesito hay",
    }.items()
}
_LONGEST_WORD = 12
# Behind these stand the scripts whose words only `core.words` knows.
_LATIN_ENDS = "\u0370"
# A sentence without a space in it has at least so many pairs of characters.
_FEWEST_PAIRS = 4
# Also a day or a storey in German: "am 3. Mai", "im 2. Stock".
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|cf|vs|Mr|Mrs|Dr|No|Fig|approx|St|ca|bzw|usw|Nr|Abs|Str|inkl|zzgl|Mme|M|Sr|Sra"
    r"|z|d|u|o)\.|\b[A-Z]\.|\b(?i:i[mn]|a[mb]|vom|zum|de[rnms]|die|das|bis|und)\s\d{1,2}\.)$"
)
# A word of these letters within a longer one says a part of it: Geld in Kilometergeld.
_FEWEST_OF_A_PART = 4
_JOINING = frozenset({"german", "dutch", "swedish", "danish", "norwegian", "finnish", "hungarian"})


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence of passage `n`, word for word (white space runs become one space)."""

    n: int
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class _Candidate:
    n: int
    text: str
    stems: frozenset[str]
    heading: frozenset[str]
    order: int
    joins: bool

    def partly(self, word: str) -> bool:
        """Whether a word of it is a part of this one, or the other way round."""
        return self.joins and any(
            min(len(word), len(own)) >= _FEWEST_OF_A_PART
            and (word.startswith(own) or word.endswith(own) or own.startswith(word) or own.endswith(word))
            for own in self.stems
        )


def best_quotes(question: str, passages: Sequence[Passage], *, longest: int = 400) -> list[Quote]:
    """One to three sentences that answer the question, best first; none when the overlap is weak."""
    language = _spoken(question, passages)
    told = _bag(_HOW_MUCH.sub(" ", question), language) or _bag(question, language)
    asked = told - _FILLERS_IN.get(language, _FILLERS) or told
    candidates = [c for passage in passages for c in _candidates(passage, longest, language)]
    if not asked or not candidates:
        return []
    weights = _weights(asked, candidates)
    scored = [(_score(c, asked, weights, question), c) for c in candidates]
    scored.sort(key=lambda pair: (-pair[0][0], pair[1].order))
    (top, share), _ = scored[0]
    if share < COVERED:
        return []
    return _distinct([(s, c) for (s, part), c in scored if s >= CLOSE * top and part >= COVERED])


def _spoken(question: str, passages: Sequence[Passage]) -> str:
    """In which language words are compared: that of the question; where it tells none, of the passages."""
    told = language_of(question)
    if told or not is_english(question):
        return told
    found = Counter(language_of(passage.text) for passage in passages)
    return found.most_common(1)[0][0] if found else ""


def sentences(text: str, *, longest: int = 400) -> list[tuple[str, str]]:
    """(heading above it, sentence) of each sentence; headings, code and tables are left out."""
    found: list[tuple[str, str]] = []
    heading = ""
    for block_heading, block in _blocks(text):
        heading = block_heading
        said = _split(block, longest)
        most = ROW_LETTERS if is_row(block) else longest
        found += [(heading, one) for one in said if len(one) <= most and _says(one)]
    return found


def _says(sentence: str) -> bool:
    """A single word says nothing; where no spaces are written, a few characters do not."""
    spaced = len(sentence.split()) >= 2
    return spaced or (not sentence.isascii() and len(core_words(sentence)) >= _FEWEST_PAIRS)


def _blocks(text: str) -> list[tuple[str, str]]:
    """Paragraphs and list items, each as one line, under their heading."""
    blocks: list[tuple[str, list[str]]] = []
    heading, fenced, fresh = "", _begins_fenced(text), True
    for line in text.splitlines():
        if _FENCE.match(line):
            fenced, fresh = not fenced, True
            continue
        title = _HEADING.match(line)
        if fenced or title or not line.strip() or _TABLE.match(line) or _SKIPPED.match(line):
            heading = title.group(1).rstrip().rstrip("#").rstrip() if title and not fenced else heading
            fresh = True
            continue
        marked = _MARKER.match(line)
        if fresh or marked:
            blocks.append((heading, []))
        blocks[-1][1].append(line[marked.end() :] if marked else line)
        fresh = False
    return [(above, " ".join(" ".join(lines).split())) for above, lines in blocks]


def _begins_fenced(text: str) -> bool:
    """True when a passage was cut out in the midst of a code block: its first fence is a closing one."""
    fences = [line.strip() for line in text.splitlines() if _FENCE.match(line)]
    return len(fences) % 2 == 1 and fences[0] in {"```", "~~~"}


def _split(block: str, longest: int) -> list[str]:
    if is_row(block):
        return [block]
    parts: list[str] = []
    start = 0
    for end in _END.finditer(block):
        # Only its last word: the whole sentence again for each stop in it would be the square of them.
        if _ABBREVIATION.search(block[max(start, end.start() - _LONGEST_WORD) : end.start()]):
            continue
        parts.append(block[start : end.end()].strip())
        start = end.end()
    parts.append(block[start:].strip())
    # A very long sentence is quoted in part: up to a semicolon, or a stop before a small letter.
    return [p for part in parts for p in (_SOFT_END.split(part) if len(part) > longest else [part]) if p]


def _candidates(passage: Passage, longest: int, language: str) -> list[_Candidate]:
    title = _bag(passage.title, language)
    joins = language in _JOINING and language_of(passage.text) in {"", language}
    return [
        _Candidate(
            passage.n,
            text,
            frozenset(_bag(text, language)),
            frozenset(title | _bag(heading, language)),
            passage.n * 10_000 + i,
            joins,
        )
        for i, (heading, text) in enumerate(sentences(passage.text, longest=longest))
    ]


def _bag(text: str, language: str = "") -> set[str]:
    """Stems, and the meanings they share with others; in other languages than English their own stems."""
    plain = text.replace("`", " ").replace("_", " ")
    if language not in {"", "english"}:
        return {
            stem_in(one, language)
            for one in core_words(plain)
            if len(one) > 1 and not small(one, (language,))
        }
    found = {_shared(word.value) for word in content_words(plain)}
    if plain.isascii():
        return found
    latin = {one for one in found if max(one) < _LATIN_ENDS}
    return latin | {one for one in core_words(plain) if len(one) > 1 and max(one) >= _LATIN_ENDS}


def _shared(word: str) -> str:
    found = stem(word)
    return meaning(found) if found.isalpha() else found


def _weights(asked: set[str], candidates: Sequence[_Candidate]) -> dict[str, float]:
    """Rare words tell more; a word that no passage has tells that the answer may not be here."""
    counts = Counter(found for c in candidates for found in c.stems & asked)
    known = {
        word: math.log(1 + (len(candidates) + 1) / (counts[word] + 0.5)) for word in asked if counts[word]
    }
    missing = max(known.values(), default=1.0)
    return {word: known.get(word, missing) for word in asked}


def _score(
    candidate: _Candidate, asked: set[str], weights: dict[str, float], question: str
) -> tuple[float, float]:
    """(score, share of the question's weight). A word of the heading counts for half, a part of one too."""
    whole = sum(weights[word] for word in sorted(asked))
    held = asked & candidate.stems
    parts = set(filter(candidate.partly, asked - held))
    said = sum(weights[word] for word in sorted(held))
    half = sum(weights[word] for word in sorted(parts | (asked & candidate.heading) - held))
    share = (said + half / 2) / whole if held or parts else 0.0
    # Between equals: the shorter sentence says it more directly, and the search ranked the passages.
    score = share * (1 - min(len(candidate.text), 400) / 4000) * (1 - min(candidate.n, 10) / 200)
    fits = (
        (_WHAT_IS.match(question) and _begins_with(candidate.text, asked))
        or (_HOW_MUCH.search(question) and _QUANTITY.search(candidate.text))
        or (_HOW_TO.match(question) and candidate.text.startswith("To "))
    )
    return score * (FITS if fits else 1.0), share


def _begins_with(text: str, asked: set[str]) -> bool:
    first = next(iter(content_words(text)), None)
    return first is not None and _shared(first.value) in asked


def _distinct(scored: Sequence[tuple[float, _Candidate]]) -> list[Quote]:
    found: list[Quote] = []
    for score, candidate in scored:
        if all(candidate.text not in quote.text and quote.text not in candidate.text for quote in found):
            found.append(Quote(candidate.n, candidate.text, score))
        if len(found) == MOST:
            break
    return found
