"""The pages of `examples`, built with Vite, in a real browser, on a service of another origin."""

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
# Where each page shows what was said.
SAID = {"react": "li > p", "assistant-ui": ".human > p, .ai > p"}
react_only = pytest.mark.parametrize("example", ["react"], indirect=True, scope="module")


@pytest.fixture(scope="module", params=SAID)
def example(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def address(pages: Pages, example: str) -> str:
    return pages.add(example, built(example))


@pytest.fixture
async def page(visit: Visit, address: str, asking_service: Service) -> AsyncIterator[Page]:
    """The page, on no thread yet; nothing may go wrong on it."""
    await visit.page.goto(f"{address}?service={asking_service.url}")
    yield visit.page
    visit.assert_silent()


@pytest.fixture
def told(page: Page, example: str) -> Locator:
    return page.locator(SAID[example])


async def say_on(page: Page, text: str) -> None:
    await page.get_by_label("Message", exact=True).fill(text)
    await page.get_by_role("button", name="Send").click()


async def say_and_edit(page: Page, model_server: ModelServer, example: str) -> None:
    for word in ("first", "second", "edited"):
        model_server.script(say(f"To the {word}."), match=f"{example} {word}")
    for word in ("first", "second"):
        await say_on(page, f"{example} {word}")
        await expect(page.get_by_text(f"To the {word}.")).to_be_visible()
    await page.get_by_role("button", name="Edit").first.click()
    await page.get_by_label("Edited message").fill(f"{example} edited")
    await page.get_by_role("button", name="Save").click()


async def test_a_tool_call_is_shown_approved_and_answered(
    page: Page, model_server: ModelServer, example: str
) -> None:
    model_server.script(call(ADD, {"a": 5, "b": 3}), say("It is eight."), match=f"{example} adds")
    await say_on(page, f"{example} adds")
    await expect(page.get_by_role("dialog")).to_contain_text('add({"a":5,"b":3})')
    await expect(page.locator("details")).to_contain_text(f'{ADD}({{"a":5,"b":3}})')
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("It is eight.")).to_be_visible()
    await expect(page.locator("details pre")).to_contain_text("8")
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_a_message_is_edited_and_the_service_keeps_it(
    page: Page, told: Locator, model_server: ModelServer, example: str
) -> None:
    await say_and_edit(page, model_server, example)
    await expect(told).to_have_text([f"{example} edited", "To the edited."])
    # What the service keeps, and not only the page.
    await page.reload()
    await expect(told).to_have_text([f"{example} edited", "To the edited."])


@react_only
async def test_a_message_that_was_edited_is_on_a_branch_of_its_own(
    page: Page, told: Locator, model_server: ModelServer, example: str
) -> None:
    await say_and_edit(page, model_server, example)
    await expect(told).to_have_text([f"{example} edited", "To the edited."])
    await page.get_by_label("Earlier branch").click()
    before = [f"{example} first", "To the first.", f"{example} second", "To the second."]
    await expect(told).to_have_text(before)
    await page.get_by_label("Later branch").click()
    await expect(told).to_have_text([f"{example} edited", "To the edited."])


async def test_a_run_is_taken_up_when_the_page_is_loaded_again(
    page: Page, told: Locator, model_server: ModelServer, example: str
) -> None:
    model_server.script(say("One two three four.", hang_after=2), match=f"{example} counts")
    await say_on(page, f"{example} counts")
    await expect(told).to_have_text([f"{example} counts", re.compile("^One two ?$")])
    await page.reload()
    await expect(told).to_have_text([f"{example} counts", re.compile("^One two ?$")])
    model_server.release()
    await expect(told).to_have_text([f"{example} counts", "One two three four."])
    await expect(page.get_by_role("button", name="Send")).to_be_visible()


async def test_a_question_is_still_there_when_the_page_is_loaded_again(
    page: Page, model_server: ModelServer, example: str
) -> None:
    model_server.script(call(ADD, {"a": 2, "b": 2}), say("Then not."), match=f"{example} asks")
    await say_on(page, f"{example} asks")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.reload()
    await page.get_by_role("button", name="Reject").click()
    await expect(page.get_by_text("Then not.")).to_be_visible()


@react_only
async def test_a_page_of_an_origin_that_the_settings_do_not_name_is_refused(
    visit: Visit, address: str, asking_service: Service
) -> None:
    # The same page, whose origin is another to a browser.
    await visit.page.goto(f"{address.replace('127.0.0.1', 'localhost')}?service={asking_service.url}")
    await say_on(visit.page, "let me in")
    await expect(visit.page.get_by_role("alert")).to_be_visible()
    assert any("CORS" in fault for fault in visit.faults)
