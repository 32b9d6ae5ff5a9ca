"""The pages in a real browser that reaches nothing but loopback."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Route, async_playwright, expect

from graph.agent import Agent
from tests.kit.http import served
from waystation.testing.agents import open_agent

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on the PATH"),
]


@pytest.fixture(scope="module")
async def agent(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    async with open_agent(tmp_path_factory.mktemp("browser")) as agent:
        yield agent


@pytest.fixture(scope="module")
async def base(agent: Agent) -> AsyncIterator[str]:
    async with served(agent) as base:
        yield base


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


class Visit:
    """A page that notes what it asked for elsewhere, and which of its scripts failed."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.base = base
        self.foreign: list[str] = []
        self.faults: list[str] = []

    async def open(self, path: str) -> Page:
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        await self.page.route("**/*", self._only_ours)
        await self.page.goto(self.base + path)
        return self.page

    async def _only_ours(self, route: Route) -> None:
        if route.request.url.startswith((self.base, "data:", "blob:")):
            await route.continue_()
            return
        self.foreign.append(route.request.url)
        await route.abort()


@pytest.fixture
async def visit(browser: Browser, base: str) -> AsyncIterator[Visit]:
    page = await browser.new_page()
    page.set_default_timeout(30_000)
    yield Visit(page, base)
    await page.close()


async def test_the_docs_render_without_a_network(visit: Visit, tmp_path: Path) -> None:
    page = await visit.open("/docs")
    await expect(page.get_by_text("/agent/invoke").first).to_be_visible(timeout=30_000)
    await expect(page.get_by_text("/files/{key}/content").first).to_be_visible()
    await page.screenshot(path=tmp_path / "docs.png")
    assert (visit.foreign, visit.faults) == ([], [])


async def test_the_playground_renders_and_answers(visit: Visit, tmp_path: Path) -> None:
    page = await visit.open("/agent/playground/")
    box = page.get_by_role("textbox").first
    await expect(box).to_be_visible(timeout=30_000)
    await page.screenshot(path=tmp_path / "before.png")
    await page.get_by_role("textbox", name="Message").fill("What is 5 + 3?")
    await page.get_by_role("button", name="Start").click()
    await expect(page.get_by_text("5 + 3 = 8").first).to_be_visible(timeout=60_000)
    await page.screenshot(path=tmp_path / "after.png")
    assert (visit.foreign, visit.faults) == ([], [])


async def test_the_chat_page_renders_and_answers(visit: Visit, tmp_path: Path) -> None:
    page = await visit.open("/chat/playground/")
    box = page.get_by_role("textbox").first
    await expect(box).to_be_visible(timeout=30_000)
    await box.fill("What is 5 + 3?")
    await page.get_by_role("button").last.click()
    await expect(page.get_by_text("5 + 3 = 8").first).to_be_visible(timeout=60_000)
    await page.screenshot(path=tmp_path / "chat.png")
    assert (visit.foreign, visit.faults) == ([], [])
