"""The browser of the tests: what goes wrong on a page is known, and the next page knows nothing of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from tests.kit.browser import Visit, Visits
from waystation.testing.mcp_servers import until

pytestmark = pytest.mark.browser

PAGES = {
    "/": "<h1>fine</h1>",
    "/raises": "<script>throw new Error('oh no')</script>",
    "/strict": "<h1>strict</h1><script>document.title = 'ran'</script>",
    "/calls-home": "<img src='http://example.com/pixel.png'>",
    "/keeps": "<script>document.cookie = 'kept=1'</script>",
}


@Request.application
def app(request: Request) -> Response:
    answer = Response(PAGES.get(request.path, ""), mimetype="text/html")
    if request.path == "/strict":
        answer.headers["Content-Security-Policy"] = "default-src 'none'"
    return answer


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def says(visit: Visit, told: str) -> bool:
    return told in str((visit.faults, visit.refused, visit.foreign))


async def test_a_page_tells_its_faults_and_what_its_policy_refused_and_whom_it_called(
    visits: Visits, base: str
) -> None:
    fine = await visits()
    await fine.page.goto(f"{base}/")
    fine.assert_silent()
    for path, told in (("raises", "oh no"), ("strict", "script-src-elem"), ("calls-home", "example.com")):
        visit = await visits()
        await visit.page.goto(f"{base}/{path}")
        # A page tells what its policy refused a moment behind its load.
        await until(partial(says, visit, told))
        with pytest.raises(AssertionError):
            visit.assert_silent()
    assert await visit.page.title() == ""


async def test_a_page_has_nothing_of_the_one_before(visits: Visits, base: str) -> None:
    first, second = await visits(), await visits(viewport={"width": 400, "height": 300})
    await first.page.goto(f"{base}/keeps")
    await second.page.goto(f"{base}/")
    kept = [await page.evaluate("document.cookie") for page in (first.page, second.page)]
    assert kept == ["kept=1", ""]
    assert await second.page.evaluate("innerWidth") == 400
