"""Retrieval: how fast it indexes, and what a question costs as an index grows.

    python -m bench.rag [--chunks 1000 10000 100000] [--questions 200] [--embed 500] [--kinds md pdf]

Documents are of made-up words in a Zipf distribution, one chunk of about 120
words each. Vectors of the large indexes are random around a few hundred centres, so that
they cost what real ones cost to search; how fast the extra `embed` makes real ones is measured apart.
Rates of kinds of files are whole updates of an index: reading, cutting, stemming, writing.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import json
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal, TypeVar

from nodes.rag.adapters.bundled import NEARNESS, BundledEmbedder, installed
from nodes.rag.adapters.lance import LanceFolder, LanceStore
from nodes.rag.chunking import chunk_document
from nodes.rag.indexing import Indexer
from nodes.rag.local import LocalRetriever
from nodes.rag.manifest import ManifestFile
from nodes.rag.models import Chunk
from tests.retrieval.making import make

T = TypeVar("T")
_WIDTH, _CENTRES, _AT_ONCE = 512, 300, 2000
_WORDS = 120
_FILES = 200


class Texts:
    """Made-up prose, the same for the same seed."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)  # noqa: S311 - texts, no secrets
        syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
        self._words = ["".join(self._random.choices(syllables, k=3)) for _ in range(20_000)]
        self._weights = [1 / (rank + 10) for rank in range(len(self._words))]

    def text(self, words: int = _WORDS) -> str:
        """That many words, in sentences."""
        said = self._random.choices(self._words, self._weights, k=words)
        return ". ".join(" ".join(said[i : i + 12]) for i in range(0, words, 12)) + "."

    def question(self) -> str:
        """Some words of middling rarity."""
        return " ".join(self._random.sample(self._words[100:8000], 5))


class NearCentres:
    """Vectors without a model: random, around the same centres for texts and questions."""

    def __init__(self) -> None:
        import numpy as np  # noqa: PLC0415

        self._random = np.random.default_rng(1)
        self._centres = self._random.normal(size=(_CENTRES, _WIDTH)).astype("float32")

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        chosen = self._centres[self._random.integers(0, _CENTRES, len(texts))]
        found: list[list[float]] = (chosen + self._random.normal(size=chosen.shape) * 0.7).tolist()
        return found


async def queries(chunks: int, questions: int) -> None:
    """Fill an index of so many chunks, and ask."""
    texts, vectors = Texts(), NearCentres()
    with tempfile.TemporaryDirectory() as home, closing(LanceFolder(Path(home))) as folder:
        store = LanceStore(folder, "bench", model="centres")
        began = time.perf_counter()
        for first in range(0, chunks, _AT_ONCE):
            some = [_chunk(n, texts) for n in range(first, min(first + _AT_ONCE, chunks))]
            await store.replace([chunk.document for chunk in some], some)
            made = await vectors.embed([chunk.text for chunk in some])
            await store.attach({c.id: v for c, v in zip(some, made, strict=True)})
        await store.tidy()
        await store.settle()
        print(f"{chunks} chunks: filled in {time.perf_counter() - began:.1f} s, {_megabytes()} MB")
        ways: tuple[Literal["words", "meaning", "both"], ...] = ("words", "meaning", "both")
        for by in ways:
            retriever = LocalRetriever(
                "bench", store=store, min_score=0, embedder=vectors, nearness=NEARNESS, by=by
            )
            asked = [texts.question() for _ in range(questions)]
            print(f"  {by:8}", await _timed(retriever, asked))


async def rights(chunks: int, questions: int) -> None:
    """A source of which a group sees all, one percent of what there is: is each of its passages found?"""
    texts, few = Texts(), chunks // 100
    with tempfile.TemporaryDirectory() as home, closing(LanceFolder(Path(home))) as folder:
        stores = {name: LanceStore(folder, name) for name in ("many", "few")}
        for name, count in (("many", chunks - few), ("few", few)):
            made = [_chunk(n, texts) for n in range(count)]
            for first in range(0, count, _AT_ONCE):
                some = made[first : first + _AT_ONCE]
                await stores[name].replace([chunk.document for chunk in some], some)
            await stores[name].tidy()
        asked = random.Random(2).sample(made, min(questions, few))  # noqa: S311 - of those of the group
        retriever = LocalRetriever("few", store=stores["few"], min_score=0)
        found = 0
        for chunk in asked:
            hits = await retriever.search(" ".join(chunk.text.split()[:24]), limit=10, as_user="bench")
            found += chunk.document in {hit.document for hit in hits}
        print(f"a group that sees {few} of {chunks} chunks: {found} of {len(asked)} found among ten")


async def _timed(retriever: LocalRetriever, questions: Sequence[str]) -> str:
    taken = []
    for question in questions:
        began = time.perf_counter()
        await retriever.search(question, limit=4, as_user="bench")
        taken.append((time.perf_counter() - began) * 1000)
    cuts = statistics.quantiles(taken, n=20)
    return f"p50 {statistics.median(taken):.1f} ms, p95 {cuts[-1]:.1f} ms"


async def rates(only: Sequence[str]) -> None:
    """Whole updates of an index by kind of file, and further ones: nothing has changed, one file has."""
    texts = Texts()
    for kind, source in _kinds(texts).items():
        if only and kind not in only:
            continue
        with tempfile.TemporaryDirectory() as home, closing(LanceFolder(Path(home) / "index")) as folder:
            files, one = Path(home) / "files", Path(home) / "one"
            _made(files, source, range(_FILES))
            _made(one, source, range(1))
            size = sum(path.stat().st_size for path in files.iterdir()) / 1e6
            indexer = Indexer(
                "bench",
                [str(files)],
                store=LanceStore(folder, "bench"),
                manifest=ManifestFile(folder.path, "bench"),
                chunk_tokens=200,
                max_file_bytes=5_000_000,
            )
            await folder.connection()
            report, first = await _measured(indexer.update)
            _, again = await _measured(indexer.update)
            for path in one.iterdir():
                path.replace(files / path.name)
            _, changed = await _measured(indexer.update)
            print(
                f"{kind:5} {_FILES / first:6.0f} documents/s {size / first:5.1f} MB/s"
                f" {report.chunks / first:6.0f}"
                f" chunks/s; unchanged: {again * 1000:.0f} ms, one of {_FILES}: {changed * 1000:.0f} ms",
                flush=True,
            )


def _kinds(texts: Texts) -> dict[str, tuple[str, Callable[[], str]]]:
    """By the kind of a file the end of its source's name, and what stands in that."""

    def headed(mark: str, parts: int = 10) -> str:
        return "\n\n".join(f"{mark} {texts.text(4)}\n\n{texts.text()}" for _ in range(parts))

    def boxes() -> str:
        return "\n\n".join(f"# {texts.text(4)}\n\n- {texts.text()}" for _ in range(10))

    head = "From: a@example.com\nTo: b@example.com\nSubject: {}\n\n{}"
    return {
        "md": (".md", lambda: headed("##")),
        "txt": (".txt", lambda: "\n\n".join(texts.text() for _ in range(10))),
        "html": (
            ".html",
            lambda: "".join(f"<h2>{texts.text(4)}</h2><p>{texts.text()}</p>" for _ in range(10)),
        ),
        "csv": (".csv", lambda: _table(texts)),
        "json": (
            ".json",
            lambda: json.dumps([{"name": texts.text(3), "text": texts.text(40)} for _ in range(20)]),
        ),
        "pdf": (".pdf.md", lambda: headed("#")),
        "docx": (".docx.md", lambda: headed("#")),
        "xlsx": (".xlsx/Sheet.csv", lambda: _table(texts)),
        "pptx": (".pptx.md", boxes),
        "eml": (".eml.txt", lambda: head.format(texts.text(4)[:60], texts.text(_WORDS * 4))),
        "epub": (".epub.md", lambda: headed("#")),
    }


def _made(folder: Path, source: tuple[str, Callable[[], str]], numbers: Iterable[int]) -> None:
    """Documents of one kind, as their programs write them."""
    end, said = source
    with tempfile.TemporaryDirectory() as drafts:
        for number in numbers:
            draft = Path(drafts) / f"{number}{end}"
            draft.parent.mkdir(exist_ok=True)
            draft.write_text(said(), encoding="utf-8")
        make(Path(drafts), folder)


async def embedding(count: int) -> None:
    """How fast the extra makes vectors, and what it keeps in memory."""
    if not installed():
        print("the extra `embed` is not installed")
        return
    texts, embedder, before = Texts(), BundledEmbedder(), _megabytes()
    _, loading = await _measured(lambda: embedder.embed(["first"]))
    made = [c.text for c in chunk_document("x.md", texts.text(count * _WORDS // 2), chunk_tokens=200)][:count]
    _, taken = await _measured(lambda: embedder.embed(made))
    loaded = _megabytes()
    embedder.close()
    print(
        f"embed: loaded in {loading:.1f} s, {len(made) / taken:.0f} chunks/s; "
        f"memory {before} MB before, {loaded} MB while it works, {_megabytes()} MB after"
    )


def _chunk(number: int, texts: Texts) -> Chunk:
    text = texts.text()
    return Chunk(f"{number:08}", f"d{number}.md", "", text, text.replace(".", ""), 0, len(text), "")


def _table(texts: Texts) -> str:
    sheet = io.StringIO()
    csv.writer(sheet).writerows(
        [("id", "name", "remark"), *((n, texts.text(2), texts.text(8)) for n in range(50))]
    )
    return sheet.getvalue()


async def _measured(work: Callable[[], Awaitable[T]]) -> tuple[T, float]:
    began = time.perf_counter()
    return await work(), time.perf_counter() - began


def _megabytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 1_000_000


async def main() -> None:
    """Print everything."""
    options = argparse.ArgumentParser(prog="python -m bench.rag", description=__doc__)
    options.add_argument("--chunks", type=int, nargs="*", default=[1000, 10_000, 100_000])
    options.add_argument("--questions", type=int, default=200)
    options.add_argument("--embed", type=int, default=500)
    options.add_argument("--kinds", nargs="*", default=[])
    chosen = options.parse_args()
    await rates(chosen.kinds)
    if chosen.embed:
        await embedding(chosen.embed)
    for chunks in chosen.chunks:
        await queries(chunks, chosen.questions)
    if chosen.chunks:
        await rights(max(chosen.chunks), chosen.questions)


if __name__ == "__main__":
    asyncio.run(main())
