"""The pages in a real browser that reaches nothing but loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from graph.agent import Agent
from tests.kit.browser import Visit
from tests.kit.http import served
from waystation.testing.agents import open_agent

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
async def agent(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    async with open_agent(tmp_path_factory.mktemp("browser")) as agent:
        yield agent


@pytest.fixture(scope="module")
async def base(agent: Agent) -> AsyncIterator[str]:
    async with served(agent) as base:
        yield base


@pytest.mark.always
async def test_the_docs_render_without_a_network(visit: Visit, base: str, tmp_path: Path) -> None:
    page = visit.page
    await page.goto(f"{base}/docs")
    await expect(page.get_by_text("/agent/invoke").first).to_be_visible(timeout=30_000)
    await expect(page.get_by_text("/files/{key}/content").first).to_be_visible()
    await page.screenshot(path=tmp_path / "docs.png")
    visit.assert_silent()


@pytest.mark.always
async def test_the_playground_renders_and_answers(visit: Visit, base: str, tmp_path: Path) -> None:
    page = visit.page
    await page.goto(f"{base}/agent/playground/")
    box = page.get_by_role("textbox").first
    await expect(box).to_be_visible(timeout=30_000)
    await page.screenshot(path=tmp_path / "before.png")
    await page.get_by_role("textbox", name="Message").fill("What is 5 + 3?")
    await page.get_by_role("button", name="Start").click()
    await expect(page.get_by_text("5 + 3 = 8").first).to_be_visible(timeout=60_000)
    await page.screenshot(path=tmp_path / "after.png")
    visit.assert_silent()


@pytest.mark.always
async def test_the_chat_page_renders_and_answers(visit: Visit, base: str, tmp_path: Path) -> None:
    page = visit.page
    await page.goto(f"{base}/chat/playground/")
    box = page.get_by_role("textbox").first
    await expect(box).to_be_visible(timeout=30_000)
    await box.fill("What is 5 + 3?")
    await page.get_by_role("button").last.click()
    await expect(page.get_by_text("5 + 3 = 8").first).to_be_visible(timeout=60_000)
    await page.screenshot(path=tmp_path / "chat.png")
    visit.assert_silent()
