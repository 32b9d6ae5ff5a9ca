"""The development server's logins and rules, asked as it asks them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import Auth
from langgraph_sdk.auth.types import AuthContext

from core.database.engine import database_url
from core.identity.keys import KeyStore
from core.settings import Book, Section
from core.settings.platform import AuthSettings, StorageSettings
from graph.db.database import opened_database
from graph.studio.auth import authenticate, opened_logins, own_threads, refuse, shared_assistants
from tests.kit.settings import ConfigFolder

SECTIONS = (Section("auth", AuthSettings), Section("storage", StorageSettings))


class User(dict[str, Any]):
    """As the server hands it to rules: keys are attributes too."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(name)


def book_at(folder: Path, mode: str) -> Book:
    book, problems = ConfigFolder(folder, SECTIONS).read(auth={"mode": mode})
    assert problems == []
    book.context.places.home.mkdir()
    return book


@pytest.fixture
async def keys(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    book = book_at(tmp_path, "keys")
    async with opened_database(database_url(book[StorageSettings], book.context.places)) as engine:
        store = KeyStore(engine)
        made = {
            "ada": (await store.create("ada", groups=["staff"], levels=["secret"]))[1],
            "admin": (await store.create("root", scopes=["use", "admin"]))[1],
            "none": (await store.create("ada", scopes=()))[1],
        }
    async with opened_logins(book):
        yield made


async def user_with(key: str) -> User:
    scope = {"headers": [(b"authorization", f"Bearer {key}".encode())], "client": ("127.0.0.1", 1)}
    return User(await authenticate(scope))


def asking(user: User, resource: str, action: str) -> AuthContext:
    given: Any = {"user": user, "permissions": [], "resource": resource, "action": action}
    return AuthContext(**given)


async def test_a_key_of_the_service_is_a_login_here(keys: dict[str, str]) -> None:
    ada = await user_with(keys["ada"])
    assert (ada.identity, ada.groups, ada.levels, ada.permissions) == ("ada", ["staff"], ["secret"], ["use"])
    assert ada.is_authenticated


@pytest.mark.parametrize(("kind", "status"), [("", 401), ("none", 403)])
async def test_others_stay_outside(keys: dict[str, str], kind: str, status: int) -> None:
    with pytest.raises(Auth.exceptions.HTTPException) as caught:
        await user_with(keys.get(kind, "wsk_made_up"))
    assert caught.value.status_code == status


async def test_threads_are_stamped_and_filtered(keys: dict[str, str]) -> None:
    ada = await user_with(keys["ada"])
    for value in ({}, {"metadata": None}, {"metadata": {"owner": "bob", "topic": "x"}}):
        mine: Any = dict(value)
        assert await own_threads(ctx=asking(ada, "threads", "create"), value=mine) == {"owner": "ada"}
        assert mine["metadata"]["owner"] == "ada"
    looked: Any = {}
    assert await own_threads(ctx=asking(ada, "threads", "search"), value=looked) == {"owner": "ada"}
    assert looked == {}


async def test_assistants_are_changed_by_admins_only(keys: dict[str, str]) -> None:
    ada, root = await user_with(keys["ada"]), await user_with(keys["admin"])
    assert await shared_assistants(ctx=asking(ada, "assistants", "read"), value={})
    assert not await shared_assistants(ctx=asking(ada, "assistants", "create"), value={})
    assert await shared_assistants(ctx=asking(root, "assistants", "create"), value={})
    assert not await refuse(ctx=asking(root, "store", "put"), value={})


async def test_in_mode_none_nobody_is_asked(tmp_path: Path) -> None:
    async with opened_logins(book_at(tmp_path, "none")):
        nobody = User(await authenticate({"headers": [], "client": None}))
    assert not nobody.is_authenticated
    assert await refuse(ctx=asking(nobody, "store", "put"), value={})
    assert await shared_assistants(ctx=asking(nobody, "assistants", "create"), value={})
    assert await own_threads(ctx=asking(nobody, "threads", "create"), value={}) is None
