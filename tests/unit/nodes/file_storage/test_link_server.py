"""Links as a tool fetches them: over real HTTP on loopback."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import httpx
import pytest

from core.access import Principal
from nodes.file_storage.adapters.link_server import LinkServer
from nodes.file_storage.fake import MemoryStore
from nodes.file_storage.links import LazyHost, LinkSigner
from nodes.file_storage.manager import FileManager
from nodes.file_storage.settings import FileStorageSettings

ADA = Principal("ada")


@pytest.fixture
async def server(store: MemoryStore, signer: LinkSigner) -> AsyncIterator[LinkServer]:
    found = LinkServer(store, signer)
    yield found
    await found.aclose()


@pytest.fixture
def linked(store: MemoryStore, signer: LinkSigner, server: LinkServer) -> FileManager:
    return FileManager(store, signer=signer, host=server, settings=FileStorageSettings())


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


async def test_a_link_gives_the_file_with_its_name_and_type(
    linked: FileManager, http: httpx.AsyncClient
) -> None:
    content = bytes(range(256)) * 10_000
    info = await linked.put(ADA, "日本.csv", content)
    answer = await http.get(await linked.link(ADA, info.key))
    assert answer.status_code == 200
    assert answer.content == content
    assert answer.headers["content-type"] == "text/csv"
    assert answer.headers["content-length"] == str(len(content))
    assert "filename*=UTF-8''%E6%97%A5%E6%9C%AC.csv" in answer.headers["content-disposition"]


async def test_an_empty_file_can_be_fetched(linked: FileManager, http: httpx.AsyncClient) -> None:
    info = await linked.put(ADA, "empty.txt", b"")
    answer = await http.get(await linked.link(ADA, info.key))
    assert (answer.status_code, answer.content) == (200, b"")


async def test_an_expired_link_is_403(
    linked: FileManager, signer: LinkSigner, server: LinkServer, http: httpx.AsyncClient
) -> None:
    info = await linked.put(ADA, "a.txt", b"x")
    token = signer.sign(ADA.id, info.key, seconds=-5)
    answer = await http.get(f"{await server.base_url()}/files/link/{token}")
    assert (answer.status_code, answer.json()["code"]) == (403, "link_expired")


async def test_a_forged_link_is_403(server: LinkServer, http: httpx.AsyncClient) -> None:
    token = LinkSigner("some other secret of thirty-two characters").sign("ada", "f_1", seconds=60)
    answer = await http.get(f"{await server.base_url()}/files/link/{token}")
    assert (answer.status_code, answer.json()["code"]) == (403, "link_invalid")


async def test_a_link_to_a_deleted_file_is_404(linked: FileManager, http: httpx.AsyncClient) -> None:
    info = await linked.put(ADA, "a.txt", b"x")
    link = await linked.link(ADA, info.key)
    await linked.delete(ADA, info.key)
    answer = await http.get(link)
    assert (answer.status_code, answer.json()["code"]) == (404, "file_not_found")


async def test_links_asked_for_at_once_share_one_server(server: LinkServer) -> None:
    assert len(set(await asyncio.gather(*(server.base_url() for _ in range(10))))) == 1


async def test_only_this_machine_can_reach_it(server: LinkServer) -> None:
    assert httpx.URL(await server.base_url()).host == "127.0.0.1"


async def test_signals_stay_with_the_host_process(server: LinkServer) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    await server.base_url()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


async def test_a_closed_server_is_gone_and_may_start_again(
    linked: FileManager, server: LinkServer, http: httpx.AsyncClient
) -> None:
    info = await linked.put(ADA, "a.txt", b"x")
    link = await linked.link(ADA, info.key)
    await server.aclose()
    with pytest.raises(httpx.ConnectError):
        await http.get(link)
    assert (await http.get(await linked.link(ADA, info.key))).status_code == 200


async def test_closing_what_never_started_is_nothing(server: LinkServer) -> None:
    await server.aclose()
    await server.aclose()


async def test_a_late_host_is_made_with_the_first_link_and_only_once(server: LinkServer) -> None:
    made: list[LinkServer] = []

    def make() -> LinkServer:
        made.append(server)
        return server

    host = LazyHost(make)
    await host.aclose()
    assert made == []
    assert await host.base_url() == await host.base_url() == await server.base_url()
    assert len(made) == 1
