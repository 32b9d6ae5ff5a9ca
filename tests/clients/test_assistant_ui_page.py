"""The page of `examples/assistant-ui`, built with Vite, in a real browser, on a service of another origin."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Locator, Page, expect

from tests.kit.browser import Visit
from tests.kit.clients import built
from tests.kit.pages import Pages
from waystation.testing.model_server import ModelServer, call, say
from waystation.testing.service import Service

pytestmark = pytest.mark.browser

ADD = "calculator_add"


@pytest.fixture(scope="module")
def address(pages: Pages) -> str:
    return pages.add("assistant-ui", built("assistant-ui"))


@pytest.fixture
async def page(visit: Visit, address: str, asking_service: Service) -> AsyncIterator[Page]:
    """The page, on no thread yet; nothing may go wrong on it."""
    await visit.page.goto(f"{address}?service={asking_service.url}")
    yield visit.page
    visit.assert_silent()


async def say_on(page: Page, text: str) -> None:
    await page.get_by_label("Message", exact=True).fill(text)
    await page.get_by_role("button", name="Send").click()


def told(page: Page) -> Locator:
    return page.locator(".human > p, .ai > p")


async def test_a_tool_call_is_shown_approved_and_answered(page: Page, model_server: ModelServer) -> None:
    model_server.script(call(ADD, {"a": 5, "b": 3}), say("It is eight."), match="kit adds")
    await say_on(page, "kit adds")
    await expect(page.get_by_role("dialog")).to_contain_text('add({"a":5,"b":3})')
    await expect(page.locator("details")).to_contain_text(f'{ADD}({{"a":5,"b":3}})')
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("It is eight.")).to_be_visible()
    await expect(page.locator("details pre")).to_contain_text("8")
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_a_message_is_edited_on_a_branch_of_its_own(page: Page, model_server: ModelServer) -> None:
    for word in ("first", "second", "edited"):
        model_server.script(say(f"To the {word}."), match=f"kit {word}")
    for word in ("first", "second"):
        await say_on(page, f"kit {word}")
        await expect(page.get_by_text(f"To the {word}.")).to_be_visible()
    await page.get_by_role("button", name="Edit").first.click()
    await page.get_by_label("Edited message").fill("kit edited")
    await page.get_by_role("button", name="Save").click()
    await expect(told(page)).to_have_text(["kit edited", "To the edited."])
    # What the service keeps, and not only the page.
    await page.reload()
    await expect(told(page)).to_have_text(["kit edited", "To the edited."])


async def test_a_run_is_taken_up_when_the_page_is_loaded_again(page: Page, model_server: ModelServer) -> None:
    model_server.script(say("One two three four.", hang_after=2), match="kit counts")
    await say_on(page, "kit counts")
    await expect(told(page)).to_have_text(["kit counts", re.compile("^One two ?$")])
    await page.reload()
    await expect(told(page)).to_have_text(["kit counts", re.compile("^One two ?$")])
    model_server.release()
    await expect(told(page)).to_have_text(["kit counts", "One two three four."])
    await expect(page.get_by_role("button", name="Send")).to_be_visible()


async def test_a_question_is_still_there_when_the_page_is_loaded_again(
    page: Page, model_server: ModelServer
) -> None:
    model_server.script(call(ADD, {"a": 2, "b": 2}), say("Then not."), match="kit asks")
    await say_on(page, "kit asks")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.reload()
    await page.get_by_role("button", name="Reject").click()
    await expect(page.get_by_text("Then not.")).to_be_visible()
