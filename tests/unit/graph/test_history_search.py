"""Full-text search in one's own threads, on each database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from sqlalchemy import delete, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from core.access import Principal
from graph.db.database import opened_database
from graph.db.tables import threads, transcript
from graph.runs.lease import new_thread
from graph.threads.history.search import VECTOR, Search
from graph.threads.transcript import Transcript
from tests.kit.languages import SENTENCES

pytestmark = pytest.mark.slow

ADA, BOB = Principal("ada"), Principal("bob")


@pytest.fixture
async def engine(database: URL) -> AsyncIterator[AsyncEngine]:
    async with opened_database(database) as engine:
        yield engine


async def say(engine: AsyncEngine, owner: Principal, thread: str, *messages: BaseMessage) -> None:
    async with engine.begin() as db:
        await db.execute(
            threads.insert().values({**new_thread(thread, owner, f"About {thread}", now=1.0), "tags": []})
        )
    await Transcript(engine).append(thread, "r", messages)


async def found(engine: AsyncEngine, query: str, who: Principal = ADA) -> list[str]:
    return [hit["message_id"] for hit in await Search(engine).find(who, query, limit=50)]


async def test_a_hit_says_where_it_stands_and_marks_the_word(engine: AsyncEngine) -> None:
    await say(engine, ADA, "t", HumanMessage("How long may a Berth be reserved?", id="m1"))
    (hit,) = await Search(engine).find(ADA, "berth", limit=5)
    assert (hit["thread_id"], hit["title"], hit["message_id"], hit["role"]) == ("t", "About t", "m1", "user")
    assert [hit["snippet"][a:b] for a, b in hit["marks"]] == ["Berth"]


async def test_only_ones_own_threads_are_searched(engine: AsyncEngine) -> None:
    await say(engine, ADA, "hers", AIMessage("a berth", id="m1"))
    await say(engine, BOB, "his", AIMessage("a berth", id="m2"))
    assert await found(engine, "berth") == ["m1"]
    assert await found(engine, "berth", BOB) == ["m2"]


async def test_every_word_must_be_there_and_quoted_ones_together(engine: AsyncEngine) -> None:
    await say(
        engine,
        ADA,
        "t",
        HumanMessage("The harbour master is away", id="m1"),
        HumanMessage("The master of the harbour", id="m2"),
        HumanMessage("Harbours", id="m3"),
    )
    assert await found(engine, "master harbour") == ["m2", "m1"]
    assert await found(engine, '"harbour master"') == ["m1"]
    assert await found(engine, "harbour*") == ["m3", "m2", "m1"]
    assert await found(engine, "harbour nowhere") == []


async def test_case_accents_and_punctuation_do_not_count(engine: AsyncEngine) -> None:
    await say(
        engine,
        ADA,
        "t",
        HumanMessage("Le CAFÉ du port: wiki.example.com/berths_of_the-harbour", id="m1"),
        HumanMessage("cafe\u0301, decomposed", id="m2"),
    )
    assert await found(engine, "cafe") == ["m2", "m1"]
    assert await found(engine, "CAFÉ port") == ["m1"]
    assert await found(engine, "example berths harbour") == ["m1"]
    assert await found(engine, "wiki.example.com") == ["m1"]
    (hit, _) = await Search(engine).find(ADA, "café", limit=5)
    assert hit["snippet"][slice(*hit["marks"][0])] == "cafe\u0301"


ODD = """ " || "" || * || AND || a OR || NOT ( || near( || a:b || col:* || !!! || '; DROP TABLE threads --
|| \\ || x'* || <-> || a & | b || ( || - || % || _ || … || 😀 || \u0301 || "a b" c* -d ^e """


@pytest.mark.parametrize("query", [*(part.strip() for part in ODD.split("||")), "a" * 200])
async def test_nothing_that_a_person_types_is_an_error(engine: AsyncEngine, query: str) -> None:
    await say(engine, ADA, "t", HumanMessage("words", id="m1"))
    assert await found(engine, query) == []


async def test_pages_go_on_behind_the_last_hit(engine: AsyncEngine) -> None:
    await say(engine, ADA, "t", *(HumanMessage(f"berth {n}", id=f"m{n}") for n in range(5)))
    search = Search(engine)
    first = await search.find(ADA, "berth", limit=3)
    rest = await search.find(ADA, "berth", limit=3, after=first[-1]["seq"])
    assert [hit["message_id"] for hit in [*first, *rest]] == ["m4", "m3", "m2", "m1", "m0"]


async def test_what_is_deleted_is_not_found(engine: AsyncEngine) -> None:
    await say(engine, ADA, "t", HumanMessage("berth", id="m1"))
    async with engine.begin() as db:
        await db.execute(delete(transcript).where(transcript.c.thread_id == "t"))
    assert await found(engine, "berth") == []


async def test_a_message_of_any_length_is_stored(engine: AsyncEngine) -> None:
    long = " ".join(f"w{n}x" for n in range(300_000))
    await say(engine, ADA, "t", AIMessage(long, id="m1"), AIMessage("x" * 3_000_000, id="m2"))
    assert await found(engine, "w17x") == ["m1"]


async def test_the_index_answers_and_not_a_look_at_every_message(postgres_url: URL) -> None:
    # FTS5 is asked by name; PostgreSQL takes an index only for the very expression that it was made with.
    asked = f"EXPLAIN SELECT seq FROM transcript WHERE {VECTOR} @@ to_tsquery('simple', 'berth')"  # noqa: S608
    async with opened_database(postgres_url) as engine, engine.connect() as db:
        await db.execute(text("SET enable_seqscan = off"))
        plan = await db.exec_driver_sql(asked)
        assert "transcript_words" in "\n".join(row[0] for row in plan)


async def test_without_fts5_every_message_is_read(tmp_path: Path) -> None:
    database = make_url(f"sqlite+aiosqlite:///{tmp_path / 'w.db'}")
    async with opened_database(database) as engine:
        async with engine.begin() as db:
            for name in ("added", "removed", "changed"):
                await db.execute(text(f"DROP TRIGGER transcript_words_{name}"))
            await db.execute(text("DROP TABLE transcript_words"))
        await say(engine, ADA, "t", HumanMessage("How long may a Berth be reserved?", id="m1"))
        assert await found(engine, "berth reserv*") == ["m1"]


async def test_rd5_a_word_in_a_sentence_of_any_script_is_found_on_each_database(engine: AsyncEngine) -> None:
    said = [HumanMessage(sentence, id=name) for name, (sentence, _) in SENTENCES.items()]
    await say(engine, ADA, "t", *said)
    assert len(said) >= 25
    lost = [
        (name, word)
        for name, (_, words) in SENTENCES.items()
        for word in words
        if name not in await found(engine, word)
    ]
    assert lost == []


async def test_rd5_a_hit_marks_the_word_in_any_script(engine: AsyncEngine) -> None:
    await say(engine, ADA, "t", *(HumanMessage(s, id=name) for name, (s, _) in SENTENCES.items()))
    for query, name, marked in [
        ("ガイドライン", "japanese", "ガイドライン"),
        ("分", "chinese", "分"),
        ("русский", "russian", "Русский"),
        ("החוזה", "hebrew", "הַחוֹזֶה"),
        ('"da nang"', "vietnamese", "Đà Nẵng"),
    ]:
        hits = await Search(engine).find(ADA, query, limit=50)
        (hit,) = [one for one in hits if one["message_id"] == name]
        assert [hit["snippet"][a:b] for a, b in hit["marks"]] == [marked]


async def test_rd5_both_databases_find_the_same(tmp_path: Path, postgres_url: URL) -> None:
    queries = [word for _, words in SENTENCES.values() for word in words]
    queries += ["дог*", "署", '"в София"', "con*", "a", '"签署了 分析"', '"を検索 する"', "2*", "म*"]
    answers = []
    for database in (make_url(f"sqlite+aiosqlite:///{tmp_path / 'w.db'}"), postgres_url):
        async with opened_database(database) as engine:
            await say(engine, ADA, "t", *(HumanMessage(s, id=name) for name, (s, _) in SENTENCES.items()))
            answers.append([await found(engine, query) for query in queries])
    assert answers[0] == answers[1]


async def test_a_letter_that_takes_room_does_not_stop_an_insert(engine: AsyncEngine) -> None:
    # One character that is eighteen when folded, and pairs of four bytes each.
    long = "".join(f"a{n}\ufdfa " for n in range(20_000)), "".join(map(chr, range(0x20000, 0x2A000))) * 3
    await say(engine, ADA, "t", *(HumanMessage(text, id=f"m{n}") for n, text in enumerate(long)))
    assert await found(engine, "\U00020001\U00020002") == ["m1"]
