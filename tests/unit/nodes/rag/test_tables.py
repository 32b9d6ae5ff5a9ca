"""Rows of tables: found by what they hold, and quoted with the names of their columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.rag.adapters.lance import LanceFolder, LanceStore
from nodes.rag.chunking import chunk_document
from nodes.rag.indexing import Indexer
from nodes.rag.local import LocalRetriever
from nodes.rag.manifest import ManifestFile
from nodes.rag.models import Passage
from nodes.rag.terms import MAX_QUOTE_CHARS, best_sentence, cite, sentences
from tests.unit.nodes.rag.corpus import write

NUMBERS = range(20_000, 20_900)


def invoices(sign: str = ",") -> str:
    rows = [sign.join([f"INV-{n}", f"Customer No. {n % 7}", f"{n % 97}.{n % 10}0", "EUR"]) for n in NUMBERS]
    return "\n".join([sign.join(["invoice", "customer", "amount", "currency"]), *rows])


async def passages(folder: Path, documents: dict[str, str], question: str) -> list[Passage]:
    root = write(folder / "docs", documents)
    lance = LanceFolder(folder / "index")
    store = LanceStore(lance, "docs")
    indexer = Indexer(
        "docs",
        [str(root)],
        store=store,
        manifest=ManifestFile(folder / "index", "docs"),
        chunk_tokens=200,
        max_file_bytes=1_000_000,
    )
    await indexer.update()
    found = LocalRetriever("docs", store=store, min_score=0.35, languages=indexer.manifest.languages)
    answer = list(await found.search(question, limit=4, as_user="ada"))
    lance.close()
    return answer


@pytest.mark.parametrize("name", ["invoices.csv", "invoices.tsv"])
async def test_rd6_a_cell_is_found_and_quoted_with_its_row(tmp_path: Path, name: str) -> None:
    table = {name: invoices("\t" if name.endswith("tsv") else ",")}
    found = await passages(tmp_path, table, "What is the amount of INV-20015?")
    document = found[0].as_state(1)
    [citation] = cite("The amount of INV-20015 is 37.50 [1].", [document])
    assert citation["quote"] == "invoice: INV-20015; customer: Customer No. 2; amount: 33.50; currency: EUR"


@pytest.mark.parametrize("question", ["INV-20015", "20015", "inv 20015", "invoice INV20015"])
async def test_rd6_a_row_is_found_by_its_number_however_it_is_written(tmp_path: Path, question: str) -> None:
    found = await passages(tmp_path, {"invoices.csv": invoices()}, question)
    assert "INV-20015;" in found[0].text


async def test_rd6_every_chunk_of_a_table_has_the_names_of_its_columns(tmp_path: Path) -> None:
    found = await passages(tmp_path, {"invoices.csv": invoices()}, "amount of INV-20899")
    assert all(line.startswith("invoice: ") for line in found[0].text.split("\n\n"))


def test_rd6_a_row_is_one_sentence_whatever_stands_in_its_cells() -> None:
    text = "name: Dr. Who. Jr.; note: Really? Yes! No.\n\nname: X; note: 1. a\n\nJust prose. And more."
    assert sentences(text) == [
        "name: Dr. Who. Jr.; note: Really? Yes! No.",
        "name: X; note: 1. a",
        "Just prose.",
        "And more.",
    ]


def test_rd6_of_a_wide_row_the_cells_that_are_asked_for_are_quoted() -> None:
    row = "; ".join([f"column {n}: value{n}x" for n in range(100)])
    for n in (0, 50, 99):
        quote = best_sentence(row, f"column {n} is value{n}x")
        assert f"value{n}x" in quote
        assert quote in row
        assert len(quote) <= MAX_QUOTE_CHARS


def test_rd6_a_long_table_of_markdown_keeps_its_head_in_sight() -> None:
    rows = "\n".join(f"| limit{n}x | {n} MiB |" for n in range(100))
    small = "| a | b |\n|---|---|\n| 1 | 2 |"
    text = f"# Limits\n\nThey hold.\n\n| what | most |\n|---|---|\n{rows}\n\nAfter the table.\n\n{small}"
    chunks = chunk_document("limits.md", text, chunk_tokens=100)
    assert chunks[0].title == "Limits"
    assert {chunk.title for chunk in chunks[1:-1]} == {"Limits › what | most"}
    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.text


async def test_rd6_a_row_of_a_long_table_of_markdown_is_found(tmp_path: Path) -> None:
    rows = "\n".join(f"| limit{n}x | {n} MiB |" for n in range(300))
    found = await passages(tmp_path, {"a.md": f"| what | most |\n|---|---|\n{rows}"}, "What is limit217x?")
    assert "| limit217x | 217 MiB |" in found[0].text
    assert "what | most" in found[0].title
