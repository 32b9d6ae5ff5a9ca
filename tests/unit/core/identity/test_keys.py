"""API keys: shown once, kept as digests, ended at once everywhere."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from core.access import Principal
from core.database.engine import create_engine
from core.database.outage import DatabaseUnavailable
from core.errors import InvalidInput
from core.identity.authenticator import Credentials
from core.identity.errors import KeyNotFound, NotAuthenticated
from core.identity.keys import KeyStore
from core.identity.tables import api_keys
from graph.db.database import opened_database


def bearer(token: str) -> Credentials:
    return Credentials({"authorization": f"Bearer {token}"})


async def until_refused(store: KeyStore, key: str) -> None:
    """Ask until the key is refused."""
    async with asyncio.timeout(10):
        with suppress(NotAuthenticated):
            while await store.principal(bearer(key)):  # noqa: ASYNC110 - nobody tells when it ends
                await asyncio.sleep(0.02)


async def test_a_key_tells_who_its_bearer_is(engine: AsyncEngine) -> None:
    store = KeyStore(engine)
    record, key = await store.create(
        "ada@example.com", name="ci", groups=["staff"], levels=["secret"], scopes=["use", "operate"]
    )
    wanted = Principal(
        "ada@example.com", frozenset({"staff"}), frozenset({"secret"}), frozenset({"use", "operate"})
    )
    assert await store.principal(bearer(key)) == wanted
    assert await store.principal(Credentials({"x-api-key": key})) == wanted
    assert key.startswith(f"wsk_{record.id}_")
    await store.aclose()


async def test_keys_live_in_postgresql_as_well(postgres_url: URL) -> None:
    async with opened_database(postgres_url) as engine:
        store = KeyStore(engine)
        record, key = await store.create("ada", groups=["staff"])
        assert await store.principal(bearer(key)) == record.principal
        await store.aclose()
        assert (await store.list())[0].last_used_at
        await store.revoke(record.id)
        with pytest.raises(NotAuthenticated):
            await store.principal(bearer(key))


async def test_a_key_without_a_word_may_use_and_no_more(engine: AsyncEngine) -> None:
    record, _ = await KeyStore(engine).create("ada")
    assert record.principal == Principal("ada", scopes=frozenset({"use"}))


async def test_of_a_key_only_a_digest_is_kept(engine: AsyncEngine, tmp_path: Path) -> None:
    store = KeyStore(engine)
    _, key = await store.create("ada")
    secret = key.split("_", 2)[2]
    assert secret not in repr(await store.list())
    async with engine.connect() as db:
        assert secret not in repr((await db.execute(select(api_keys))).all())
        await db.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    assert secret.encode() not in (tmp_path / "keys.db").read_bytes()


@pytest.mark.parametrize("change", ["secret", "id", "shape", "nothing behind", "twice"])
async def test_a_key_that_is_not_whole_is_nobodys(engine: AsyncEngine, change: str) -> None:
    store = KeyStore(engine)
    record, key = await store.create("ada")
    _, other = await store.create("bob")
    wrong = {
        "secret": f"wsk_{record.id}_{other.split('_', 2)[2]}",
        "id": key.replace(record.id, "0" * 16),
        "shape": key + "x",
        "nothing behind": "wsk_",
        "twice": f"{key}\n{key}",
    }[change]
    with pytest.raises(NotAuthenticated) as caught:
        await store.principal(bearer(wrong))
    assert caught.value.given
    assert wrong.split("_", 2)[-1] not in caught.value.detail or wrong == "wsk_"


async def test_a_token_of_another_kind_is_left_to_others(engine: AsyncEngine) -> None:
    assert await KeyStore(engine).principal(bearer("a.b.c")) is None
    assert await KeyStore(engine).principal(Credentials({})) is None


async def test_a_key_ends_at_its_time(engine: AsyncEngine) -> None:
    store = KeyStore(engine)
    record, key = await store.create("ada", expires_at=time.time() + 0.3)
    assert await store.principal(bearer(key))
    await until_refused(store, key)
    assert [r.state for r in await store.list() if r.id == record.id] == ["expired"]
    await store.aclose()


async def test_a_revoked_key_ends_in_this_process_now_and_in_another_within_two_seconds(
    engine: AsyncEngine,
) -> None:
    here, there = KeyStore(engine), KeyStore(engine)
    record, key = await here.create("ada")
    assert await here.principal(bearer(key))
    assert await there.principal(bearer(key))
    begun = time.monotonic()
    revoked = await here.revoke(record.id)
    assert revoked.state == "revoked"
    with pytest.raises(NotAuthenticated):
        await here.principal(bearer(key))
    await until_refused(there, key)
    assert time.monotonic() - begun < 2
    assert (await here.revoke(record.id)).revoked_at == revoked.revoked_at
    await asyncio.gather(here.aclose(), there.aclose())


async def test_a_key_that_is_not_there_cannot_be_revoked(engine: AsyncEngine) -> None:
    with pytest.raises(KeyNotFound, match="no key 'abc'"):
        await KeyStore(engine).revoke("abc")


async def test_the_last_use_is_noted_once_a_minute(engine: AsyncEngine) -> None:
    store = KeyStore(engine, cache_s=0)
    record, key = await store.create("ada")
    before = time.time()
    for _ in range(5):
        await store.principal(bearer(key))
    await store.aclose()
    (first,) = await store.list()
    assert first.last_used_at
    assert before <= first.last_used_at <= time.time()
    # Another process, which knows nothing of this note.
    other = KeyStore(engine, cache_s=0)
    await other.principal(bearer(key))
    await other.aclose()
    assert (await store.list())[0].last_used_at == first.last_used_at
    assert record.last_used_at is None


async def test_a_known_key_is_not_read_at_each_request(engine: AsyncEngine) -> None:
    store = KeyStore(engine, cache_s=60)
    _, key = await store.create("ada")
    await store.principal(bearer(key))
    await store.aclose()
    await engine.dispose()
    async with engine.begin() as db:
        await db.execute(api_keys.delete())
    assert await store.principal(bearer(key))


async def test_a_database_that_does_not_answer_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_text("no database at all, and long enough to be looked at" * 20)
    engine = create_engine(URL.create("sqlite+aiosqlite", database=str(tmp_path / "broken.db")))
    with pytest.raises(DatabaseUnavailable, match="is damaged"):
        await KeyStore(engine).principal(bearer(f"wsk_{'0' * 16}_{'a' * 43}"))
    await engine.dispose()


async def test_a_use_that_cannot_be_noted_is_still_a_use(engine: AsyncEngine) -> None:
    store = KeyStore(engine)
    _, key = await store.create("ada")
    async with engine.begin() as db:
        await db.execute(
            text("CREATE TRIGGER full BEFORE UPDATE ON api_keys BEGIN SELECT RAISE(FAIL, 'full'); END")
        )
    assert await store.principal(bearer(key))
    await store.aclose()
    assert (await store.list())[0].last_used_at is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"user": "a b"}, "cannot be a user"),
        ({"user": ""}, "cannot be a user"),
        ({"groups": ["a,b"]}, "cannot be a group"),
        ({"levels": [""]}, "cannot be a level"),
        ({"scopes": ["use", "rule"]}, "no scope 'rule'"),
        ({"expires_at": 1.0}, "would have expired"),
    ],
)
async def test_what_cannot_be_is_refused(engine: AsyncEngine, wrong: dict[str, object], message: str) -> None:
    given: dict[str, object] = {"user": "ada", **wrong}
    with pytest.raises(InvalidInput, match=message):
        await KeyStore(engine).create(str(given.pop("user")), **given)  # type: ignore[arg-type]  # wrong on purpose
    assert await KeyStore(engine).list() == []
