"""The proxy of the fault tests does what it says."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from tests.kit.flaky import FlakyProxy

pytestmark = pytest.mark.slow

CONTENT = b"0123456789" * 100


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: object) -> None:
        """No access log."""


@Request.application
def app(request: Request) -> Response:
    return Response(request.get_data() or CONTENT)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    found = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{found.server_port}"
    found.shutdown()
    thread.join()
    found.server_close()


@pytest.fixture
def proxy(server: str) -> Iterator[FlakyProxy]:
    with FlakyProxy(f"{server}/v1") as found:
        yield found


@pytest.fixture
async def http(proxy: FlakyProxy) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        yield client


def test_its_address_is_the_servers_with_another_port() -> None:
    proxy = FlakyProxy("redis://:secret@127.0.0.1:6379/0")
    assert proxy.url == f"redis://:secret@127.0.0.1:{proxy.port}/0"
    assert FlakyProxy("127.0.0.1:6379").url.startswith("127.0.0.1:")


async def test_requests_go_through_and_are_counted(proxy: FlakyProxy, http: httpx.AsyncClient) -> None:
    assert (await http.get(proxy.url)).content == CONTENT
    assert (await http.post(proxy.url, content=b"x" * 300_000)).content == b"x" * 300_000
    assert proxy.requests == 2


async def test_an_answer_of_its_own_never_reaches_the_server(
    proxy: FlakyProxy, http: httpx.AsyncClient
) -> None:
    await http.get(proxy.url)
    proxy.answer(503, retry_after=2)
    answer = await http.post(proxy.url, content=b"x" * 300_000)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    proxy.heal()
    assert (await http.get(proxy.url)).status_code == 200


async def test_some_fail_and_the_same_ones_with_the_same_seed(
    proxy: FlakyProxy, http: httpx.AsyncClient
) -> None:
    async def statuses() -> list[int]:
        proxy.fail(60, status=500, seed=7)
        return [(await http.get(proxy.url)).status_code for _ in range(20)]

    found = await statuses()
    assert 6 < found.count(500) < 18
    assert await statuses() == found


async def test_what_hangs_stays_hung_and_the_next_request_goes_through(
    proxy: FlakyProxy, http: httpx.AsyncClient
) -> None:
    proxy.hang()
    hung = asyncio.create_task(http.get(proxy.url, timeout=1))
    async with asyncio.timeout(10):
        while not proxy.requests:  # noqa: ASYNC110 - it counts in a thread of its own
            await asyncio.sleep(0.01)
    proxy.heal()
    assert (await http.get(proxy.url)).content == CONTENT
    with pytest.raises(httpx.ReadTimeout):
        await hung


async def test_nobody_listens_and_open_connections_are_reset(
    proxy: FlakyProxy, http: httpx.AsyncClient
) -> None:
    await http.get(proxy.url)
    proxy.refuse()
    with pytest.raises(httpx.TransportError):
        await http.get(proxy.url)
    with pytest.raises(httpx.ConnectError):
        await http.get(proxy.url)
    proxy.heal()
    assert (await http.get(proxy.url)).content == CONTENT


async def test_an_answer_breaks_off(proxy: FlakyProxy, http: httpx.AsyncClient) -> None:
    proxy.cut(after=400)
    with pytest.raises(httpx.TransportError):
        await http.get(proxy.url)


async def test_a_server_that_is_not_there_is_a_reset(http: httpx.AsyncClient, proxy: FlakyProxy) -> None:
    proxy.refuse()
    with FlakyProxy(proxy.url) as second, pytest.raises(httpx.TransportError):
        await http.get(second.url)
