from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import structlog

from core.access import Principal
from core.container import open_module
from core.errors import Unavailable, WaystationError
from core.events import Event
from core.health import Health, HealthState, degraded
from core.observability import clean, start_telemetry
from core.settings import Context, Places
from core.settings.platform import TelemetrySettings
from core.tool_bench import LentServer
from nodes.rag import RAGClient, RagSettings, Source
from nodes.rag.adapters.lance import LanceFolder, LanceStore
from nodes.rag.adapters.mcp import McpRetriever
from nodes.rag.errors import NotIngestable, SourceNotFound, SourceUnavailable
from nodes.rag.events import RetrievalDone
from nodes.rag.fake import FakeRetriever
from nodes.rag.models import Collection, Passage
from nodes.rag.module import MODULE
from nodes.rag.settings import HttpSource, LocalSource, McpSource
from nodes.rag.source import interleave
from tests.kit.otlp_server import OtlpServer
from tests.unit.nodes.rag.corpus import HANDBOOK, write
from waystation.testing.rag_server import RagServer

ADA = Principal("ada")
STAFF = Principal("eve", frozenset({"staff"}))
KITES = {"kites.txt": "Kites fly on Mondays, and boats sink."}
BOATS = {"boats.txt": "Boats sink on Tuesdays."}


class HangingRetriever:
    """A source that never answers."""

    async def search(
        self, query: str, *, limit: int, as_user: str, within: Sequence[Collection] | None = None
    ) -> Sequence[Passage]:
        await asyncio.Event().wait()
        return ()

    async def collections(self, *, as_user: str) -> Sequence[Collection]:
        await asyncio.Event().wait()
        return ()

    async def check(self) -> Health:
        return degraded("it hangs")


def entry(*groups: str, enabled: bool = True) -> LocalSource:
    return LocalSource(path=["x"], groups=list(groups), enabled=enabled)


def client(settings: RagSettings | None = None, **sources: Source) -> RAGClient:
    return RAGClient(sources, settings or RagSettings())


def fake(name: str, documents: dict[str, str], *groups: str, problem: Exception | None = None) -> Source:
    return Source(entry(*groups), FakeRetriever(name, documents, problem=problem))


async def test_all_sources_are_asked_and_their_passages_interleaved() -> None:
    rag = client(kites=fake("kites", KITES), boats=fake("boats", BOATS))
    found = await rag.query("boats sink", sources=["kites", "boats", "kites"], principal=ADA)
    assert {p.source for p in found.passages} == {"kites", "boats"}
    assert found.failed == ()
    one = await rag.query("boats sink", sources=["kites", "boats"], principal=ADA, limit=1)
    assert len(one.passages) == 1


async def test_the_users_name_reaches_the_source() -> None:
    retriever = FakeRetriever("kites", KITES)
    await client(kites=Source(entry(), retriever)).query("kites", sources=["kites"], principal=ADA)
    assert retriever.asked == [("kites", "ada")]


@pytest.mark.parametrize("name", ["closed", "off", "nothere"])
async def test_what_a_user_may_not_use_is_like_what_does_not_exist(name: str) -> None:
    rag = client(
        open=fake("open", KITES),
        closed=fake("closed", KITES, "staff"),
        off=Source(entry(enabled=False), FakeRetriever("off", KITES)),
    )
    with pytest.raises(SourceNotFound) as caught:
        await rag.query("kites", sources=["open", name], principal=ADA)
    assert caught.value.detail == f"no source '{name}'; known: open"
    assert [info.name for info in await rag.discover(ADA)] == ["open"]
    assert [info.name for info in await rag.discover(STAFF)] == ["open", "closed"]
    assert (await rag.query("kites", sources=["closed"], principal=STAFF)).passages


async def test_a_near_miss_is_suggested() -> None:
    with pytest.raises(SourceNotFound, match="did you mean 'handbook'"):
        await client(handbook=fake("handbook", KITES)).query("x", sources=["handbok"], principal=ADA)


def tool() -> Source:
    """A source whose server cannot be made."""
    mcp = McpSource(command="x")

    def opened() -> LentServer:
        raise Unavailable("the tool server 'tool' is down: no such command")

    return Source(mcp, McpRetriever("tool", mcp, opened))


async def test_failing_and_hanging_sources_do_not_keep_the_others_from_answering() -> None:
    settings = RagSettings(timeout_s=0.2)
    rag = client(
        settings,
        good=fake("good", KITES),
        down=fake("down", {}, problem=SourceUnavailable("the service answered HTTP 500")),
        broken=fake("broken", {}, problem=KeyError("x")),
        slow=Source(entry(), HangingRetriever()),
        remote=Source(HttpSource(url="http://127.0.0.1:9", timeout=0.1), HangingRetriever()),
        tool=tool(),
    )
    with structlog.testing.capture_logs():
        found = await rag.query("kites", sources=list(rag.entries()), principal=ADA)
    assert [p.source for p in found.passages] == ["good"]
    assert dict(found.failed) == {
        "down": "the service answered HTTP 500",
        "broken": "an internal fault (KeyError)",
        "slow": "no answer within 0.2 s",
        "remote": "no answer within 0.1 s",
        "tool": "the tool server 'tool' is down: no such command",
    }


async def test_a_source_above_the_users_levels_is_like_one_that_does_not_exist() -> None:
    guarded = LocalSource(path=["x"], compliance_level="Internal")
    rag = client(plans=Source(guarded, FakeRetriever("plans", KITES)), kites=fake("kites", KITES))
    assert [info.name for info in await rag.discover(ADA)] == ["kites"]
    with pytest.raises(SourceNotFound, match="no source 'plans'; known: kites"):
        await rag.query("kites", sources=["plans"], principal=ADA)
    for levels in ({"Internal"}, {"*"}):
        cleared = Principal("ada", levels=frozenset(levels))
        assert [info.name for info in await rag.discover(cleared)] == ["plans", "kites"]
        assert (await rag.query("kites", sources=["plans"], principal=cleared)).passages


async def test_a_retrieval_is_an_event_without_the_question() -> None:
    told: list[Event] = []
    down = fake("down", {}, problem=SourceUnavailable("HTTP 500"))
    rag = RAGClient({"kites": fake("kites", KITES), "down": down}, RagSettings(), publish=told.append)
    with structlog.testing.capture_logs():
        await rag.query("kites", sources=["kites", "down"], principal=ADA)
    await rag.query("   ", sources=["kites"], principal=ADA)
    [event] = told
    assert isinstance(event, RetrievalDone)
    assert event.details() == {
        "sources": ("kites", "down"),
        "passages": 1,
        "failed": ("down",),
        "duration_ms": event.duration_ms,
    }


async def test_a_retrieval_is_a_span_with_one_for_each_source() -> None:
    down = fake("down", {}, problem=SourceUnavailable("HTTP 500"))
    rag = client(kites=fake("kites", KITES), down=down)
    with OtlpServer() as collector, structlog.testing.capture_logs():
        telemetry = start_telemetry(TelemetrySettings(otlp_endpoint=collector.url, metrics=False))
        await rag.query("kites", sources=["kites", "down"], principal=ADA, limit=3)
        telemetry.stop(seconds=10)
        spans = {span.name: span for span in collector.spans}
    whole, kites, failed = (spans[name] for name in ("retrieval", "retrieval kites", "retrieval down"))
    assert {kites.parent_id, failed.parent_id} == {whole.span_id}
    assert kites.attributes["gen_ai.data_source.id"] == "kites"
    assert (kites.attributes["gen_ai.request.top_k"], kites.attributes["waystation.passages"]) == (3, 1)
    assert (failed.failed, failed.attributes["error.type"]) == (True, "source_unavailable")
    assert (whole.failed, kites.failed) == (False, False)


async def test_discovery_says_which_source_does_not_answer() -> None:
    rag = client(
        RagSettings(timeout_s=0.1),
        good=fake("good", KITES),
        slow=Source(entry(), HangingRetriever()),
        tool=tool(),
    )
    problems = {info.name: info.problem for info in await rag.discover(ADA)}
    assert problems["good"] == ""
    assert problems["slow"] == "no answer within 0.1 s"
    assert problems["tool"] == "the tool server 'tool' is down: no such command"


async def test_nothing_asked_is_nothing_done() -> None:
    retriever = FakeRetriever("kites", KITES)
    rag = client(kites=Source(entry(), retriever))
    assert (await rag.query("kites", sources=[], principal=ADA)).passages == ()
    assert (await rag.query("  ", sources=["kites"], principal=ADA)).passages == ()
    assert retriever.asked == []


async def test_a_long_passage_is_cut_with_its_end() -> None:
    rag = client(RagSettings(passage_chars=100), long=fake("long", {"a.txt": "Kites fly. " * 60}))
    [passage] = (await rag.query("kites", sources=["long"], principal=ADA)).passages
    assert len(passage.text) == 100
    assert (passage.start, passage.end) == (0, 100)


def test_interleaving_brings_foreign_scores_to_one_and_ranks_by_row() -> None:
    def passage(source: str, score: float) -> Passage:
        return Passage(source, "d", "t", "x", score)

    merged = interleave([[passage("a", 80), passage("a", 40)], [passage("b", 0.9)], []])
    assert [(p.source, p.score) for p in merged] == [("a", 1.0), ("b", 0.9), ("a", 0.5)]


async def test_only_local_sources_and_what_exists_can_be_ingested(tmp_path: Path) -> None:
    rag = client(remote=Source(HttpSource(url="http://127.0.0.1:9"), HangingRetriever()))
    with pytest.raises(NotIngestable, match="searched where it is"):
        await rag.ingest("remote")
    with pytest.raises(SourceNotFound):
        await rag.ingest("other")
    assert await rag.prepare() == []


async def test_health_is_as_bad_as_its_sources() -> None:
    good, bad = fake("good", KITES), Source(entry(), HangingRetriever())
    assert (await client().check()).state is HealthState.HEALTHY
    assert (await client(good=good).check()).state is HealthState.HEALTHY
    half = await client(good=good, bad=bad).check()
    assert half.state is HealthState.DEGRADED
    assert half.reason.startswith("source 'bad' does not work: it hangs (since ")
    assert half.since is not None
    assert (await client(bad=bad).check()).state is HealthState.FAILED


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[RAGClient]:
    """The module as it is configured: a local handbook with a server behind it for a remote source."""
    folder = tmp_path / "config"
    write(folder / "docs")
    with RagServer() as server:
        (folder / "sources.yaml").write_text(
            f"""
docs: {{type: local, path: docs}}
gone: {{type: local, path: nowhere}}
off: {{type: local, path: docs, enabled: false}}
remote: {{type: http, url: "{server.url}"}}
meaning: {{type: local, path: docs, embedder: {{url: "{server.url}/v1", model: m}}}}
tool: {{type: mcp, command: x}}
""",
            encoding="utf-8",
        )
        container = open_module(MODULE, Context(Places(folder, tmp_path / "home"), {}, {}))
        yield await container.get(RAGClient)
        assert (await MODULE.health(container)).state is HealthState.DEGRADED
        await container.close()


@pytest.mark.slow
async def test_the_configured_module_indexes_and_answers(real: RAGClient, tmp_path: Path) -> None:
    reports = {report.source: report for report in await real.prepare()}
    assert set(reports) == {"docs", "gone", "meaning"}
    assert reports["docs"].files == len(HANDBOOK)
    assert reports["gone"].problems == ("'nowhere' is not there",)
    assert all(r.changed == 0 for r in await real.prepare())
    await real.warm()
    found = await real.query("leave backups", sources=["docs", "remote", "meaning"], principal=ADA)
    assert {p.source for p in found.passages} == {"docs", "remote", "meaning"}
    assert found.failed == ()
    extra = tmp_path / "extra.txt"
    extra.write_text("Kites fly on Mondays.")
    assert (await real.ingest("docs", path=extra)).files == len(HANDBOOK) + 1
    with pytest.raises(NotIngestable, match=r"no file or folder 'gone.txt'"):
        await real.ingest("docs", path=tmp_path / "gone.txt")
    stats = {s.source: s for s in await real.stats()}
    assert stats["docs"].files == len(HANDBOOK) + 1
    assert (stats["remote"].type, stats["remote"].files) == ("http", 0)


async def test_the_tokens_of_sources_never_reach_a_log(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "sources.yaml").write_text(
        "wiki: {type: http, url: 'http://127.0.0.1:9', bearer_token: tartan-otter}\n"
        "tool: {type: mcp, url: 'http://x', auth_token: velvet-heron, headers: {X-Key: amber-lynx}}\n"
    )
    container = open_module(MODULE, Context(Places(tmp_path / "config", tmp_path / "home"), {}, {}))
    await container.get(RAGClient)
    await container.close()
    assert clean("tartan-otter, velvet-heron and amber-lynx") == "***, *** and ***"


async def test_an_index_that_cannot_be_opened_is_logged_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "x.lance").mkdir()
    store = LanceStore(LanceFolder(tmp_path), "x")
    rag = client(
        bad=Source(entry(), FakeRetriever("x", {}), store=store),
        off=Source(entry(enabled=False), FakeRetriever("y", {}), store=store),
    )
    with structlog.testing.capture_logs() as logs:
        await rag.warm()
    assert [(log["event"], log["source"]) for log in logs] == [("index_not_opened", "bad")]


async def test_a_check_that_hangs_is_a_finding() -> None:
    class Silent(HangingRetriever):
        async def check(self) -> Health:
            await asyncio.Event().wait()
            return degraded("never")

    rag = RAGClient({"slow": Source(entry(), Silent())}, RagSettings(), check_seconds=0.1)
    assert "'slow' does not work: no answer within 0.1 s" in (await rag.check()).reason


async def test_a_source_that_cannot_be_indexed_does_not_stop_the_others(real: RAGClient) -> None:
    class Refusing:
        async def update(self, **_: object) -> None:
            raise SourceUnavailable("the embedder is away")

    source = Source(entry(), FakeRetriever("x", {}), indexer=Refusing())  # type: ignore[arg-type]  # a stand-in
    with structlog.testing.capture_logs() as logs:
        [report] = await client(bad=source).prepare()
    assert report.problems == ("the embedder is away",)
    assert logs[0]["event"] == "source_not_indexed"


async def test_an_index_that_cannot_be_opened_is_logged_and_searches_fail(
    real: RAGClient, tmp_path: Path
) -> None:
    await real.prepare()
    [index] = (tmp_path / "home" / "index").glob("docs-*.lance")
    for part in index.iterdir():
        for file in sorted(part.rglob("*"), reverse=True):
            if file.is_file():
                file.write_bytes(b"")
    with structlog.testing.capture_logs():
        await real.warm()
        found = await real.query("backups", sources=["docs"], principal=ADA)
    assert [source for source, _ in found.failed] == ["docs"]
    assert "cannot be read" in found.failed[0][1]


def test_every_error_of_the_module_has_its_own_code() -> None:
    from nodes.rag import errors

    found = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, WaystationError)]
    ours = [e for e in found if e.__module__ == errors.__name__]
    assert len({e.code for e in ours}) == len(ours) > 10
