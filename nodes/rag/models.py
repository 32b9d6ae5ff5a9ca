"""The values of retrieval. Offsets count characters of the document's text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from typing import Any

Progress = Callable[[int, int, str], None]
"""Called with (files done, files in all, name of the next one); of vectors with chunks, named `VECTORS`."""
VECTORS = "vectors"
MOST_UNREAD = 200
"""So many of the files that are passed over are named."""
# Files left out that one line names.
_TOLD = 2


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that answers a query.

    Args:
        text: Word for word as it stands in the document.
        score: 0 to 1; comparable only roughly between sources.
        uri: Where to find it, relative to the source; never a path of this machine.
    """

    source: str
    document: str
    title: str
    text: str
    score: float
    uri: str = ""
    start: int = 0
    end: int = 0

    def as_state(self, n: int) -> dict[str, Any]:
        """The dict that travels in the graph's state under number `n`."""
        return {"n": n, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Collection:
    """A part of a remote source, as its discovery names it.

    Args:
        groups: Whom the source itself names; empty: everyone.
        auth_required: It wants to know the user, who is told to every source.
    """

    id: str
    label: str = ""
    description: str = ""
    compliance_level: str = ""
    groups: list[str] = field(default_factory=list)
    auth_required: bool = False

    @property
    def enabled(self) -> bool:
        """True: what is switched off is not discovered."""
        return True


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """A source that a user may search.

    Args:
        documents, chunks: What its index holds; None for a remote source.
        skipped: Files that are not in the index, and `reasons` why, by name (the first of very many).
        problem: Why its discovery did not answer, or why nothing in it can be found.
        index: Of one whose index is shared: `role` (writes or reads), `generation` and `age_s`.
    """

    name: str
    type: str
    display_name: str
    description: str = ""
    compliance_level: str = ""
    collections: tuple[Collection, ...] = ()
    problem: str = ""
    documents: int | None = None
    chunks: int | None = None
    skipped: int = 0
    reasons: Mapping[str, str] = field(default_factory=dict)
    index: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


Remark = tuple[str, str]
TOLD: ContextVar[list[Remark] | None] = ContextVar("waystation_rag_remarks", default=None)
"""What the people of a turn are told about its search, (code, text), by whatever searches for it."""


def remark(code: str, text: str) -> None:
    """Tell whoever asked; once for each text, and nobody where nobody listens."""
    told = TOLD.get()
    if told is not None and (code, text) not in told:
        told.append((code, text))


UNFOUND: ContextVar[dict[str, str] | None] = ContextVar("waystation_rag_unfound", default=None)
"""Why a source shows nothing, by its name, by whatever searches it."""


def unfound(source: str, why: str) -> None:
    """Tell whoever asked why nothing of a source is shown; nobody where nobody listens."""
    told = UNFOUND.get()
    if told is not None:
        told[source] = why


@dataclass(frozen=True, slots=True)
class RAGResponse:
    """Passages, best first, (source, reason) of each source that failed, and (code, text) of remarks.

    Args:
        nothing: (source, why) of each that was searched and shows nothing, where that is known.
    """

    passages: tuple[Passage, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    notices: tuple[tuple[str, str], ...] = ()
    nothing: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What one indexing did.

    Args:
        files: Documents in the index afterwards.
        changed: Documents that were indexed, anew or again.
        removed: Documents that were dropped because their file is gone.
        chunks: Chunks in the index afterwards.
        skipped: Why a file of a kind that is read is not in the index, by its name.
        ignored: Files of other kinds that were passed over.
        unread: Why they were, by their names (the first of very many).
        problems: What kept a part of the source from being read.
    """

    source: str
    files: int = 0
    changed: int = 0
    removed: int = 0
    chunks: int = 0
    skipped: Mapping[str, str] = field(default_factory=dict)
    ignored: int = 0
    unread: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SourceStats:
    """What the index holds of one source; zeros for a remote one.

    Args:
        files: Documents that can be found.
        skipped: Files of the source that are not among them.
        reasons: Why they are not, by their names (the first of very many).
        problem: Why nothing of the source can be found; "" where something can.
        indexed: False before the first indexing.
        idle_rules: Paths of rules of access that match none of its documents: they may be written wrong.
        index: Of one that is shared: `role`, `generation`, `age_s` and more.
    """

    source: str
    type: str
    files: int = 0
    chunks: int = 0
    skipped: int = 0
    size_bytes: int = 0
    reasons: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    indexed: bool = True
    idle_rules: tuple[str, ...] = ()
    index: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def summary(self) -> str:
        """In one line for people: what can be found, and what is left out and why."""
        if self.type != "local":
            return f"asked where it is ({self.type})"
        if self.problem or not self.indexed:
            return self.problem or "not indexed yet"
        held = f"{self._shared()}{self._held()}"
        if self.idle_rules:
            held += f"; no document under the rule of access {_quoted(self.idle_rules)}"
        if not self.skipped:
            return held
        named = [f"{name}: {why}" for name, why in list(self.reasons.items())[:_TOLD]]
        more = [f"and {self.skipped - _TOLD} more"] if self.skipped > _TOLD else []
        return f"{held}; {_counted(self.skipped, 'file')} left out ({'; '.join([*named, *more])})"

    def _shared(self) -> str:
        if self.index is None:
            return ""
        which = self.index["generation"]
        return f"{self.index['role']} generation {which}: " if which else f"{self.index['role']}: "

    def _held(self) -> str:
        return f"{_counted(self.files, 'document')}, {_counted(self.chunks, 'chunk')}"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """A document of a local source.

    Args:
        chunks: How many pieces the index has of it; 0 for one that was left out.
        problem: Why it was left out; "" where it was not.
        notes: What could not be read of it.
        modified: Epoch seconds.
    """

    name: str
    chunks: int = 0
    size: int = 0
    modified: float | None = None
    language: str = ""
    problem: str = ""
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "notes": list(self.notes)}


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document as the index stores it. `terms` are separated by spaces."""

    id: str
    document: str
    title: str
    text: str
    terms: str
    start: int
    end: int
    uri: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk with the store's own score: BM25, or cosine similarity."""

    chunk: Chunk
    score: float


@dataclass(frozen=True, slots=True)
class Record:
    """A file as it was indexed. `problem` is set for a file that was left out, `notes` for what was of it."""

    root: str
    size: int
    mtime_ns: int
    seen_ns: int
    digest: str
    recipe: str
    chunks: int = 0
    problem: str = ""
    language: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of an index by document name, and the paths that `ingest` added by hand.

    Args:
        unread: Files of other kinds and why they are passed over, at most `MOST_UNREAD`.
        passed_over: How many of these there are.
        model: Of the endpoint that made the vectors in the rows; "" where there are none.
    """

    files: dict[str, Record] = field(default_factory=dict)
    added: tuple[str, ...] = ()
    unread: dict[str, str] = field(default_factory=dict)
    passed_over: int = 0
    model: str = ""

    def seen(self, shown: Callable[[str], bool] | None) -> Manifest:
        """The manifest as one sees it who is shown these documents; None: all of them."""
        if shown is None:
            return self
        files = {name: record for name, record in self.files.items() if shown(name)}
        unread = {name: why for name, why in self.unread.items() if shown(name)}
        # Names of the first ones only are known: of the others nothing is told.
        return replace(self, files=files, unread=unread, passed_over=len(unread))

    @property
    def chunks(self) -> int:
        return sum(record.chunks for record in self.files.values())

    @property
    def documents(self) -> int:
        return sum(1 for record in self.files.values() if not record.problem)

    @property
    def skipped(self) -> dict[str, str]:
        return {name: record.problem for name, record in self.files.items() if record.problem}

    @property
    def partly(self) -> dict[str, str]:
        """What was not read of the documents that were."""
        return {name: f"partly read: {'; '.join(r.notes)}" for name, r in self.files.items() if r.notes}

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the documents, the most frequent first."""
        told = Counter(record.language for record in self.files.values() if record.language)
        return tuple(language for language, _ in told.most_common())
