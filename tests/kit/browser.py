"""Pages in the system's Chromium, which reaches nothing but loopback.

The browser starts once for each process of the tests, when the first test asks for a page; every test
has contexts of its own. `visit` is one page, `visits(**options)` makes more, with the options of
Playwright's `new_context` (`viewport`, `color_scheme`, `java_script_enabled`, ...).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    async_playwright,
    expect,
)

from tests.kit.clients import ENVIRONMENT

# Where the alternative is to wait for what never comes. What `expect` waits for by itself is five seconds.
PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Not Playwright's `route`: a page whose requests it holds asks for no preflights.
_ONLY_LOOPBACK = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
_QUIET = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")
_TELLS = """document.addEventListener("securitypolicyviolation", (e) =>
    window.toldOfPolicy(`${e.effectiveDirective} ${e.blockedURI} ${e.sourceFile || ""}:${e.lineNumber}`));"""


def chromium() -> str | None:
    """The browser: what `CHROMIUM` names, or else the first on the path."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Visit:
    """A page, and what went wrong on it.

    Attributes:
        faults: What its scripts raised, and errors of the console.
        refused: What its Content-Security-Policy kept from it.
        foreign: Addresses beyond loopback that it asked for, in vain.
    """

    def __init__(self, context: BrowserContext, page: Page) -> None:
        self.context = context
        self.page = page
        self.faults: list[str] = []
        self.refused: list[str] = []
        self.foreign: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._told)
        context.on("request", self._asked)

    def assert_silent(self) -> None:
        """Nothing went wrong so far."""
        assert (self.faults, self.refused, self.foreign) == ([], [], [])

    def refuses(self, told: str) -> None:
        """What the page's own script tells of its policy."""
        self.refused.append(told)

    def _told(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.faults.append(f"{message.text} ({message.location.get('url', '')})")

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname not in (
            "127.0.0.1",
            "localhost",
        ):
            self.foreign.append(request.url)


AXE = ENVIRONMENT / "node_modules" / "axe-core" / "axe.min.js"


# What a scheme of colours can change, and nothing else does.
OF_COLOURS = ("color-contrast", "link-in-text-block")


async def assert_accessible(page: Page, where: str, *, rules: Sequence[str] = ()) -> None:
    """axe finds nothing serious on what the page shows now, by all its rules or by those that are named.

    Skips where axe-core is not installed.
    """
    if not AXE.exists():
        pytest.skip("axe-core is not installed: run `make .venv/.foreign` with npm")
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE.read_text(encoding="utf-8"))
    found = await page.evaluate(_ASKED, {"runOnly": list(rules)} if rules else {})
    serious = [each for each in found if each["impact"] in {"serious", "critical"}]
    told = [(each["id"], each["nodes"]) for each in serious]
    assert told == [], where


# The whole answer of axe is half a megabyte of what it found nothing wrong with.
_ASKED = """async (wanted) => {
    const {violations} = await axe.run({...wanted, resultTypes: ["violations"]});
    const shown = (nodes) => nodes.slice(0, 3).map((node) => node.html.slice(0, 200));
    return violations.map(({id, impact, nodes}) => ({id, impact, nodes: shown(nodes)}));
}"""


Visits = Callable[..., Awaitable[Visit]]


@pytest.fixture(scope="session")
def chromium_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a browser without windows takes commands (CDP); skips where there is none."""
    program = chromium()
    if program is None:
        pytest.skip(f"there is no Chromium: install one of {', '.join(NAMES)}, or name it in CHROMIUM")
    profile = tmp_path_factory.mktemp("chromium")
    words = ("--headless=new", "--no-sandbox", "--remote-debugging-port=0", f"--user-data-dir={profile}")
    command = [program, *words, *_QUIET, _ONLY_LOOPBACK, "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        assert process.stderr is not None
        told: list[str] = []
        for line in process.stderr:
            told.append(line)
            if line.startswith("DevTools listening on "):
                break
        else:
            pytest.fail(f"Chromium did not start: {''.join(told)[-2000:]}")
        # It goes on to say things, and would wait for a reader.
        Thread(target=process.stderr.read, daemon=True).start()
        yield told[-1].split()[-1]
        process.terminate()


@pytest.fixture(scope="module")
async def browser(chromium_address: str) -> AsyncIterator[Browser]:
    """The browser, for the tests of a file."""
    async with async_playwright() as playwright:
        yield await playwright.chromium.connect_over_cdp(chromium_address)


@pytest.fixture
async def visits(browser: Browser) -> AsyncIterator[Visits]:
    """Makes pages, each in a context of its own, without cookies or anything kept."""
    made: list[BrowserContext] = []

    async def visit(**options: Any) -> Visit:
        context = await browser.new_context(**options)
        made.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        found = Visit(context, page)
        await context.expose_function("toldOfPolicy", found.refuses)
        await context.add_init_script(_TELLS)
        return found

    yield visit
    for context in made:
        await context.close()


@pytest.fixture
async def visit(visits: Visits) -> Visit:
    """A page."""
    return await visits()
