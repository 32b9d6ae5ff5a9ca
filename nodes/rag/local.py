"""A local source: its index searched by words and by meaning, in one order."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.errors import WaystationError
from core.health import Health
from core.languages import DEFAULT
from core.words import fold
from nodes.rag.errors import VectorsDiffer
from nodes.rag.models import Chunk, Collection, Hit, Passage, remark, unfound
from nodes.rag.ports import ChunkStore, Embedder, Judge, Reranker, Signs
from nodes.rag.ranking import current_first, distinct, fuse, guides_first, spread, weigh
from nodes.rag.terms import asked, terms, terms_of
from nodes.rag.unfound import EMPTY, NO_WORDS, no_word_held, too_little_said
from nodes.rag.vocabulary import Synonyms, Vocabularies, Vocabulary
from nodes.rag.wording import matter

By = Literal["both", "words", "meaning"]

CANDIDATES = 100
# A word with a digit in it and this many characters is the name of something, and chance does not find it.
_NAME_LETTERS = 4
# Passages that are judged.
_JUDGED = 3
# Of words alone: the best passages must hold this share of what the words of the question tell.
_SHARE_TOLD = 0.2
# From this share on, a passage says what is asked in the question's own words.
_SAID = 0.8
# Of a question with so few words, each is meant.
_KEYWORDS = 2
_WORD = re.compile(r"[^\W_]{2,}")
_ANOTHER_MODEL = "its vectors are of another model, and the new ones are not all there yet"
# A longer message tells of more than it asks for.
_MOST_WORDS = 8


@dataclass(frozen=True, slots=True)
class Nearness:
    """What the similarities of an embedder mean; each has a scale of its own.

    Args:
        floor: Cosine similarity below which a chunk has nothing to do with a question.
        weight: What similarity counts in the order of passages, beside the confidence of words.
        likely: Likelihood of an answer, as its judge gives it, from which passages are shown.
    """

    floor: float
    weight: float
    likely: float


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked, as it is looked for.

    Args:
        said: What the message is about, in its own words.
        text: The same with its slips corrected.
        words: Each with its forms.
        synonyms: Terms of other names for a word.
        read: Terms that those words may mean which the index does not hold.
    """

    said: str
    text: str
    words: Sequence[tuple[str, ...]]
    synonyms: Mapping[tuple[str, ...], Sequence[str]]
    read: Sequence[str]
    languages: Sequence[str]
    vocabulary: Vocabulary

    def rarity(self, word: str) -> float:
        """What a word tells in this index."""
        return self.vocabulary.rarity(self._forms(word) or [fold(word)])

    @property
    def wanted(self) -> list[str]:
        """What the index is asked for."""
        return list(dict.fromkeys([*terms_of(self.words), *self.further]))

    @property
    def further(self) -> list[str]:
        """Terms that stand for its words and are none of theirs."""
        return [*self.read, *(term for others in self.synonyms.values() for term in others)]

    @property
    def brief(self) -> bool:
        """Whether it is a word or two; a name of several parts is one."""
        return min(len(self.words), len(self.said.split())) <= _KEYWORDS

    @property
    def stranger(self) -> bool:
        """Whether it names something that the index does not hold: a word with a capital amid a sentence."""
        words = _WORD.findall(self.said)
        named = [word for at, word in enumerate(words) if any(map(str.isupper, word[0 if at else 1 :]))]
        return any(forms and not self._held(forms) for forms in map(self._forms, named))

    @property
    def missing(self) -> list[str]:
        """Its words that the index does not hold, as they are written."""
        given = dict.fromkeys(_WORD.findall(self.said))
        return [word for word in given if (forms := self._forms(word)) and not self._held(forms)]

    def _forms(self, word: str) -> tuple[str, ...]:
        return tuple(term for language in self.languages for term in terms(word, language))

    def _held(self, forms: tuple[str, ...]) -> bool:
        """Whether the index holds a word, or what it was meant to be."""
        return self.vocabulary.holds(forms) or bool(self.vocabulary.meant([forms]))

    def in_one_document(self, chunk: Chunk, by_words: Sequence[Hit]) -> bool:
        """Whether a chunk holds the word of a brief question that tells most, and its document all words."""
        if not self.brief:
            return False
        rarest = max(self.words, key=self.vocabulary.rarity)
        if not self.vocabulary.holds(rarest) or not _holds(chunk, rarest):
            return False
        beside = [hit.chunk for hit in by_words if hit.chunk.document == chunk.document]
        return all(any(_holds(other, forms) for other in beside) for forms in self.words)

    def share_told(self, chunk: Chunk) -> float:
        """Which share of what its words tell stands in a chunk, 0 to 1."""
        held = set(chunk.terms.split())
        told = [(self.vocabulary.rarity(forms), not held.isdisjoint(forms)) for forms in self.words]
        return sum(rarity for rarity, here in told if here) / sum(rarity for rarity, _ in told)

    def tells_nothing(self, chunk: Chunk) -> bool:
        """Whether that share says nothing: of a long message, or where words were taken for others."""
        return len(self.words) > _MOST_WORDS or not set(chunk.terms.split()).isdisjoint(self.further)


class LocalRetriever:
    """Gives what the store finds by words (BM25) and by meaning, a passage of each document first.

    Neither says whether the best is any good: the best passage for "What is
    the capital of Peru?" still has a score. So the best by words must reach
    `min_score` or hold every word of the question, or none is shown. Words of
    the question that the index does not hold count for nothing, neither for a
    passage nor against it. Where there is a judge, it decides instead: it
    compares the question with the sentences and words of the best passages.

    Args:
        min_score: 0 to 1; see `confidence`.
        embedder: For the store's vectors; where it fails, words alone decide. None: they always do.
        nearness: Of that embedder; None: what is nearer than `min_score` is shown.
        judge: Whether to show anything; None: the scores decide.
        by: "words", "meaning" or "both".
        synonyms: Names for the same thing, a group each.
        behind: Globs of documents that stand behind the others.
        reranker: Has the last word on the order; None: nobody.
        languages: In which languages the source's texts are, asked at each search.
        own_weights: Words are weighed by what the store shows, not by all that it holds.
        comparable: Whether the store's vectors are of the embedder's model; where not, words alone decide.
        differs: Called where a vector of a question turns out to be none of that model.
    """

    def __init__(
        self,
        source: str,
        *,
        store: ChunkStore,
        min_score: float,
        embedder: Embedder | None = None,
        nearness: Nearness | None = None,
        judge: Judge | None = None,
        reranker: Reranker | None = None,
        languages: Callable[[], Sequence[str]] = lambda: (DEFAULT,),
        by: By = "both",
        synonyms: Sequence[Sequence[str]] = (),
        behind: Sequence[str] = (),
        own_weights: bool = False,
        comparable: Callable[[], bool] = lambda: True,
        differs: Callable[[], None] = lambda: None,
    ) -> None:
        self._source = source
        self._store = store
        self._min_score = min_score
        self._embedder = embedder
        self._nearness = nearness
        self._judge = judge
        self._reranker = reranker
        self._languages = languages
        self._by = by
        self._vocabularies = Vocabularies(store)
        self._synonyms = Synonyms(synonyms)
        self._behind = tuple(behind)
        self._own_weights = own_weights
        self._comparable = comparable
        self._differs = differs

    async def search(
        self, query: str, *, limit: int, as_user: str, within: Sequence[Collection] | None = None
    ) -> Sequence[Passage]:
        """At most `limit` passages, best first. The whole source is one right, and has no parts."""
        question = await self._question(query)
        if question is None:
            unfound(self._source, NO_WORDS)
            return []
        by_words, near = await self._rankings(question, most=max(CANDIDATES, limit))
        floor = self._nearness.floor if self._nearness else self._min_score
        by_meaning = [f for f in near if f.score >= floor]
        found = current_first(distinct(self._merged(question, by_words, by_meaning)), question.said)
        if not await self._worth_showing(question, found, (by_words, by_meaning, near)):
            unfound(self._source, _why_nothing(question, found))
            return []
        if self._reranker is not None:
            reranked = await self._reranker.rerank(question.said, found)
            found = current_first(spread(reranked), question.said)
        return [self._passage(f) for f in found[:limit]]

    async def _rankings(self, question: _Question, *, most: int) -> tuple[list[Hit], list[Hit]]:
        """By words, and what is near; words stand in where meaning is asked for and cannot be had."""
        by = self._by_now()
        words_first = asyncio.create_task(self._by_words(question, most=most, by=by))
        try:
            near = await self._near(question, most=most, words=words_first, by=by)
            by_words = await words_first
        finally:
            words_first.cancel()
        if near is None and by == "meaning":
            by_words = await self._by_words(question, most=most, by="words")
        return by_words, near or []

    async def _question(self, query: str) -> _Question | None:
        """What is looked for; None where nothing is asked."""
        languages, about = tuple(self._languages()), matter(query)
        meant = asked(about, languages)
        if not meant:
            return None
        vocabulary = await self._vocabularies.current()
        text, words = vocabulary.corrected(about, languages), vocabulary.as_held(meant)
        synonyms, read = self._synonyms.of_words(words, languages), vocabulary.meant(words)
        return _Question(about, text, words, synonyms, read, languages, vocabulary)

    def _by_now(self) -> By:
        """How it is searched now; vectors of two models say nothing of each other."""
        if self._embedder is None or self._by == "words" or self._comparable():
            return self._by
        self._by_words_alone(_ANOTHER_MODEL)
        return "words"

    def _by_words_alone(self, why: str) -> None:
        remark("searched_by_words", f"'{self._source}' was searched by words alone: {why.rstrip('.')}.")

    async def _by_words(self, question: _Question, *, most: int, by: By) -> list[Hit]:
        if by == "meaning":
            return []
        there = await self._store.find(question.wanted, limit=most)
        if self._own_weights or question.synonyms:
            words = [*question.words, *((term,) for term in question.read)]
            there = question.vocabulary.weighed(there, words, question.synonyms)
        found = self._guides_first(there, question)
        return [Hit(f.chunk, confidence(f.score, question.vocabulary.chunks)) for f in found]

    def _guides_first(self, found: Sequence[Hit], question: _Question) -> list[Hit]:
        return guides_first(found, question.wanted, self._behind)

    async def _near(
        self, question: _Question, *, most: int, words: asyncio.Task[list[Hit]], by: By
    ) -> list[Hit] | None:
        """What is near the question; None where that cannot be found out, which whoever asked is told."""

        async def known() -> dict[str, Chunk]:
            return {found.chunk.id: found.chunk for found in await words}

        if self._embedder is None or by == "words":
            return []
        try:
            [vector] = await self._embedder.embed([question.text])
        except WaystationError as error:
            self._by_words_alone(f"its embedder failed: {error.detail}")
            return None
        try:
            near = await self._store.near(vector, limit=most, known=known if by == "both" else None)
        except VectorsDiffer as error:
            self._differs()
            self._by_words_alone(error.detail)
            return None
        return self._guides_first(near, question)

    async def _worth_showing(
        self,
        question: _Question,
        found: Sequence[Hit],
        rankings: tuple[Sequence[Hit], Sequence[Hit], Sequence[Hit]],
    ) -> bool:
        (by_words, by_meaning, near), words = rankings, question.words
        whole = bool(by_words) and holds_all(by_words[0].chunk, words)
        if not whole:
            whole = any(question.in_one_document(item.chunk, by_words) for item in found[:_JUDGED])
        if self._judge is not None and self._nearness is not None and near and found:
            judged = [item.chunk for item in found[:_JUDGED]]
            whole = whole or (bool(by_words) and any(holds_all(chunk, words) for chunk in judged))
            if by_words and (holds_a_name(by_words[0].chunk, words) or (whole and question.brief)):
                return True
            held = max(map(question.share_told, judged))
            chunks = question.vocabulary.chunks
            signs = Signs(question.rarity, held, near[0].score, question.stranger, chunks)
            likely = await self._judge.likelihood(question.text, judged, signs)
            return likely >= self._nearness.likely
        if whole:
            return True
        if by_meaning or not by_words:
            return bool(by_meaning)
        best = [item.chunk for item in by_words[:_JUDGED]]
        tells = any(question.tells_nothing(c) or question.share_told(c) >= _SHARE_TOLD for c in best)
        return by_words[0].score >= self._min_score and tells

    def _merged(self, question: _Question, by_words: Sequence[Hit], by_meaning: Sequence[Hit]) -> list[Hit]:
        if self._nearness is None or not (by_words and by_meaning):
            return fuse(by_words, by_meaning)
        weight, floor = self._nearness.weight, self._nearness.floor
        first = by_words[0].chunk
        if question.share_told(first) >= _SAID or question.in_one_document(first, by_words):
            # Who quotes a text, or knows its words, means this one and none that is like it.
            weight /= len(question.words)
        return weigh(by_words, by_meaning, weight=weight, floor=floor)

    async def collections(self, *, as_user: str) -> Sequence[Collection]:
        return ()

    async def check(self) -> Health:
        return await self._store.check(expected=0)

    def _passage(self, found: Hit) -> Passage:
        chunk = found.chunk
        return Passage(
            source=self._source,
            document=chunk.document,
            title=chunk.title,
            text=chunk.text,
            score=round(min(found.score, 1.0), 4),
            uri=chunk.uri,
            start=chunk.start,
            end=chunk.end,
        )


def _holds(chunk: Chunk, forms: Sequence[str]) -> bool:
    return not set(chunk.terms.split()).isdisjoint(forms)


def _why_nothing(question: _Question, found: Sequence[Hit]) -> str:
    if found:
        return too_little_said(found[0].chunk, question.missing)
    return no_word_held(question.missing) if question.vocabulary.chunks else EMPTY


def confidence(score: float, chunks: int) -> float:
    """A BM25 score as 0 to 1: one half is what a word is worth that a single chunk of the index holds.

    So a number means about the same in a small index and in a large one.
    """
    rarest = math.log(1 + (max(chunks, 1) - 0.5) / 1.5)
    return score / (score + rarest)


def holds_all(chunk: Chunk, words: Sequence[tuple[str, ...]]) -> bool:
    """True for a chunk with every word of the question: common words alone give a low score."""
    return share_held(chunk, words) == 1


def share_held(chunk: Chunk, words: Sequence[tuple[str, ...]]) -> float:
    """Which share of the words of a question a chunk holds, 0 to 1."""
    held = set(chunk.terms.split())
    return sum(1 for forms in words if held.intersection(forms)) / len(words)


def holds_a_name(chunk: Chunk, words: Sequence[tuple[str, ...]]) -> bool:
    """True for a chunk with a name of the question that has digits in it, as numbers of orders have."""
    named = {f for forms in words for f in forms if len(f) >= _NAME_LETTERS and any(map(str.isdigit, f))}
    return bool(named) and not named.isdisjoint(chunk.terms.split())
