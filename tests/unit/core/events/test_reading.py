"""The audit log, read from its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.events import reading
from core.events.reading import AuditReader
from core.settings import Places


@pytest.fixture
def reader(tmp_path: Path) -> AuditReader:
    """On two files: the one of now and the one before."""
    logs = tmp_path / "logs"
    logs.mkdir()
    older = [entry(n) for n in range(3)]
    newer = [
        "",
        "no JSON at all",
        entry(3, who="bob", what="FileUploaded"),
        entry(4, run_id="r_1"),
        '{"cut": ',
    ]
    (logs / "audit.jsonl.1").write_text("\n".join(older) + "\n")
    (logs / "audit.jsonl").write_text("\n".join(newer))
    return AuditReader(Places(config_dir=tmp_path, home=tmp_path))


def entry(n: int, *, who: str = "ada", what: str = "TurnFinished", **more: str) -> str:
    return json.dumps({"at": f"2026-11-29T14:00:0{n}", "who": who, "what": what, **more})


def seconds(found: list[dict[str, str]]) -> list[int]:
    return [int(line["at"][-1]) for line in found]


async def test_the_newest_line_comes_first_and_odd_ones_are_passed_over(reader: AuditReader) -> None:
    assert seconds(await reader.find()) == [4, 3, 2, 1, 0]
    assert seconds(await reader.find(limit=2)) == [4, 3]


async def test_lines_are_found_by_who_what_run_and_a_part(reader: AuditReader) -> None:
    assert seconds(await reader.find(who="bob")) == [3]
    assert seconds(await reader.find(what="TurnFinished", before="2026-11-29T14:00:02")) == [1, 0]
    assert seconds(await reader.find(run="r_1")) == [4]
    assert seconds(await reader.find(q="Uploaded")) == [3]
    assert await reader.find(who="TurnFinished") == []
    assert await reader.find(q='"') == []


async def test_long_files_are_read_in_blocks(reader: AuditReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_BLOCK", 7)
    assert seconds(await reader.find()) == [4, 3, 2, 1, 0]
    monkeypatch.setattr(reading, "MOST_BYTES", 150)
    assert seconds(await reader.find()) == [4]


async def test_without_a_log_nothing_is_found(tmp_path: Path) -> None:
    assert await AuditReader(Places(config_dir=tmp_path, home=tmp_path)).find() == []
