"""Nothing is left out in silence: what a source holds, what it does not, and why."""

from __future__ import annotations

from pathlib import Path

import structlog

from core.access import Principal
from core.health import HealthState
from nodes.rag import RAGClient, RagSettings, cite
from tests.kit import documents
from tests.unit.nodes.rag.corpus import write
from tests.unit.nodes.rag.test_tasks import local

ADA = Principal("ada")


async def client(folder: Path, *, large: bool = False) -> RAGClient:
    root = folder / "docs"
    root.mkdir(exist_ok=True)
    made = RAGClient({"docs": local(folder, "docs")}, RagSettings())
    if large:
        (root / "large.txt").write_text("x" * 100_001)
    await made.prepare()
    return made


async def test_rd3_a_source_that_is_one_pdf_says_so_everywhere(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "report.pdf").write_bytes(documents.scan())
    with structlog.testing.capture_logs() as logs:
        rag = await client(tmp_path)
    scan = "it is a scan: its pages are pictures without text"
    why = f"nothing in it can be read: 'report.pdf' ({scan})"
    (told,) = [line for line in logs if line["event"] == "source_incomplete"]
    assert (told["reason"], told["left_out"]) == (why, {"report.pdf": scan})
    health = await rag.check()
    assert (health.state, why in health.reason) == (HealthState.DEGRADED, True)
    (info,) = await rag.discover(ADA)
    assert (info.documents, info.chunks, info.skipped, info.problem) == (0, 0, 1, why)
    (stats,) = await rag.stats()
    assert (stats.files, stats.reasons) == (0, {"report.pdf": scan})
    found = await rag.query("What does the report say?", sources=["docs"], principal=ADA)
    assert found.failed == (("docs", why),)


async def test_rd3_what_is_left_out_of_a_source_that_works_is_named(tmp_path: Path) -> None:
    names = ["a.rtf", "b.docx", "c.png", "d.xyz"]
    write(tmp_path / "docs", {**dict.fromkeys(names, "x"), "kites.md": "Kites fly on Mondays."})
    (tmp_path / "docs" / "raw.txt").write_bytes(b"\0\1\2")
    rag = await client(tmp_path, large=True)
    health = await rag.check()
    details = health.details["sources"]["docs"]["details"]
    assert (health.state, details["documents"], details["skipped"]) == (HealthState.HEALTHY, 1, 6)
    assert details["reasons"] == {
        "large.txt": "it is larger than 100000 bytes",
        "raw.txt": "it is a binary file",
        "b.docx": "it is broken, or of another kind than its name says",
        "a.rtf": "texts of old Word, OpenDocument and others are not read; save it as DOCX or PDF",
        "c.png": "images are not read",
        "d.xyz": "files that end in '.xyz' are not read",
    }
    (info,) = await rag.discover(ADA)
    assert (info.documents, info.chunks, info.skipped) == (1, 1, 6)
    assert info.as_json()["reasons"] == details["reasons"]
    found = await rag.query("zebra", sources=["docs"], principal=ADA)
    assert found.failed == ()


async def test_what_was_not_read_of_a_document_that_was_is_named(tmp_path: Path) -> None:
    root = tmp_path / "docs"
    root.mkdir()
    sheets: dict[str, list[list[object]]] = {"Prices": [["item", "price"], ["desk", 99]], "Old": [["x"]]}
    (root / "prices.xlsx").write_bytes(documents.workbook(sheets, hidden=["Old"]))
    rag = await client(tmp_path)
    (stats,) = await rag.stats()
    note = "partly read: sheet 'Old' is hidden and not read"
    assert (stats.files, stats.skipped, stats.reasons) == (1, 0, {"prices.xlsx": note})
    assert (await rag.check()).state is HealthState.HEALTHY


async def test_a_passage_says_its_page_sheet_or_slide_and_stands_word_for_word(tmp_path: Path) -> None:
    root = tmp_path / "docs"
    root.mkdir()
    pages = [["Contents of the manual"], ["The boiler key hangs at desk 14."]]
    (root / "manual.pdf").write_bytes(documents.pdf(pages, marks={2: "Keys"}))
    (root / "prices.xlsx").write_bytes(documents.workbook({"Prices 2026": [["item", "price"], ["desk", 99]]}))
    (root / "goals.pptx").write_bytes(documents.slides())
    (root / "travel.docx").write_bytes(documents.word())
    rag = await client(tmp_path)
    asked = {
        "Where does the boiler key hang?": ("Keys › page 2", "manual.pdf#page=2"),
        "What is the price of a desk?": ("Prices 2026 › sheet 'Prices 2026'", "prices.xlsx#prices-2026"),
        "Which sales did the north have?": ("Figures › slide 2", "goals.pptx#slide=2"),
        "When are trains booked?": ("Travel policy › Trains", "travel.docx#trains"),
    }
    for question, (title, uri) in asked.items():
        found = await rag.query(question, sources=["docs"], principal=ADA)
        best = found.passages[0]
        assert (best.title, best.uri) == (title, uri)
    quoted = cite("It hangs at desk 14 [1].", [
        (await rag.query("boiler key", sources=["docs"], principal=ADA)).passages[0].as_state(1)
    ])  # fmt: skip
    assert quoted[0]["quote"] == "The boiler key hangs at desk 14."


async def test_rd3_an_empty_folder_and_one_that_is_not_there_are_told(tmp_path: Path) -> None:
    rag = await client(tmp_path)
    assert "there is no document in it" in (await rag.check()).reason
    (tmp_path / "docs").rmdir()
    rag = RAGClient({"docs": local(tmp_path, "docs")}, RagSettings())
    (report,) = await rag.prepare()
    assert report.problems == ("'docs' is not there",)
    told = "'docs' is not there; there is no document in it"
    assert told in (await rag.check()).reason
    assert [info.problem for info in await rag.discover(ADA)] == [told]
    assert [source.problem for source in await rag.stats()] == [told]


async def test_rd3_a_source_that_is_not_indexed_yet_says_so_to_a_turn(tmp_path: Path) -> None:
    write(tmp_path / "docs", {"kites.md": "Kites fly."})
    rag = RAGClient({"docs": local(tmp_path, "docs")}, RagSettings())
    found = await rag.query("kites", sources=["docs"], principal=ADA)
    assert found.failed == (("docs", "it is not indexed yet"),)


async def test_rd3_many_files_are_counted_and_the_first_named(tmp_path: Path) -> None:
    write(tmp_path / "docs", {f"p{n:03}.png": "x" for n in range(250)})
    rag = await client(tmp_path)
    (stats,) = await rag.stats()
    assert (stats.skipped, len(stats.reasons)) == (250, 200)
    assert stats.problem.endswith("and 247 more")


async def test_rd3_links_that_lead_nowhere_or_out_are_named(tmp_path: Path) -> None:
    write(tmp_path / "docs", {"here.md": "Berths are cleaned on Mondays."})
    (tmp_path / "secret.md").write_text("outside")
    (tmp_path / "docs" / "gone.md").symlink_to(tmp_path / "nothing.md")
    (tmp_path / "docs" / "out.md").symlink_to(tmp_path / "secret.md")
    (stats,) = await (await client(tmp_path)).stats()
    assert stats.files == 1
    assert stats.reasons == {
        "gone.md": "it is a link to nothing, or no plain file",
        "out.md": "its link leads out of the folder",
    }
