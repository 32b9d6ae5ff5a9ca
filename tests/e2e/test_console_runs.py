"""The console's pages of runs and of what is behind them, in a browser, against one real service."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.async_api import Page, expect

from core.access import Principal
from core.choices import Choices
from graph.agent import Agent
from graph.runs.record import TurnRequest
from nodes.file_storage import FileManager
from nodes.llm.errors import ModelUnavailable
from tests.kit.browser import OF_COLOURS, Visit, Visits, assert_accessible
from tests.kit.http import served
from waystation.testing.agents import BUNDLED, open_agent

pytestmark = pytest.mark.browser

PATIENCE_MS = 30_000
ADA = Principal("ada")
DEAD = "models: {dead: {model_name: m, model_url: 'http://127.0.0.1:9/v1', api_key: test}}"
ASKS_FIRST = '{"clock": {"require_approval": ["*"]}}'
NARROW = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}
PAGES = ("runs", "time", "graph", "sources", "tools", "files", "costs", "operating")


@dataclass(frozen=True)
class House:
    """The service, and what ran in it."""

    base: str
    agent: Agent
    run: str
    other: str
    waits: str


async def asked(agent: Agent, message: str, thread: str, model: str = "") -> str:
    request = TurnRequest(ADA, message, thread_id=thread, choices=Choices(model=model), background=True)
    handle = await agent.begin(request)
    with suppress(ModelUnavailable):
        await handle.result()
    return handle.id


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("pages")
    opened = open_agent(
        folder,
        tools=BUNDLED,
        files={"mcp.json": ASKS_FIRST, "models.yaml": DEAD},
        auth={"user": "ada"},
        rag={"search": "words"},
        llm={"default_model": "offline"},
    )
    async with opened as agent:
        run = await asked(agent, "What is 5 + 3?", "sums")
        other = await asked(agent, "What is 12 * 7?", "sums")
        waits = await asked(agent, "What time is it in UTC?", "clock")
        for thread in ("dead", "dead-too"):  # after which its breaker is open
            await asked(agent, "Are you there?", thread, model="dead")
        await (await agent.container.get(FileManager)).put(ADA, "sales.csv", b"month,sum\nJan,5\n")
        async with served(agent) as base:
            yield House(base, agent, run, other, waits)


async def opened(visit: Visit, house: House, path: str) -> Page:
    visit.page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    await visit.page.goto(f"{house.base}/console/{path}")
    await expect(visit.page.locator("main .loading")).to_have_count(0)
    return visit.page


async def test_a_run_is_found_in_the_list_and_its_time_is_seen(house: House, visit: Visit) -> None:
    page = await opened(visit, house, "runs")
    rows = page.get_by_role("region", name="Runs").locator("tbody tr")
    await expect(rows).to_have_count(5)
    await page.get_by_label("Search").fill("12 *")
    await expect(rows).to_have_count(1)
    await page.get_by_role("link", name="What is 12 * 7?").click()
    await expect(page).to_have_url(re.compile(f"run={house.other}"))
    spans = page.locator(".span-row")
    await expect(spans.filter(has_text="call_model")).to_have_count(2)
    await expect(spans.filter(has_text="evaluate")).to_have_count(1)
    await spans.filter(has_text="offline").first.click()
    await expect(page.locator(".span-detail", has_text="tokens").first).to_be_visible()
    await page.get_by_role("tab", name="Events").click()
    await expect(page.locator(".event b").first).to_have_text("run_started")
    await expect(page.locator(".event b").last).to_have_text("done")
    await page.get_by_role("button", name="All runs").click()
    await expect(rows).to_have_count(1)
    visit.assert_silent()


async def test_a_run_is_replayed_and_compared(house: House, visit: Visit) -> None:
    page = await opened(visit, house, f"runs?run={house.run}")
    await page.get_by_role("button", name="Replay").click()
    await expect(page.get_by_role("dialog")).to_contain_text("did the same")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Compare").click()
    await page.get_by_label("The other run").select_option(house.other)
    await page.get_by_role("dialog").get_by_role("button", name="Compare").click()
    shown = page.get_by_role("dialog", name="Two runs")
    await expect(shown).to_contain_text("12 * 7")
    visit.assert_silent()


async def test_a_run_that_waits_says_for_whom(house: House, visit: Visit) -> None:
    page = await opened(visit, house, f"runs?run={house.waits}")
    await expect(page.locator(".span-row", has_text="waits for a person")).to_contain_text("goes on")
    visit.assert_silent()


async def test_the_log_of_a_run_goes_on_by_itself_while_it_runs(house: House, visit: Visit) -> None:
    for delay in (3, 15, 75):  # a busy machine opens the page when the run has begun
        request = TurnRequest(ADA, "What is 6 + 6?", thread_id=f"in-{delay}", background=True, delay=delay)
        run = await house.agent.begin(request)
        page = await opened(visit, house, f"runs?run={run.id}")
        await page.get_by_role("tab", name="Log").click()
        log = page.get_by_role("tabpanel", name="Log")
        await expect(log).to_contain_text(re.compile("no line of it|TurnStarted"))
        if "no line of it" in await log.inner_text():
            break
    else:
        pytest.fail("the page was never open before the run began")
    await expect(log.locator("tbody tr", has_text="TurnFinished")).to_have_count(1, timeout=100_000)
    visit.assert_silent()


async def test_a_thread_goes_on_from_any_of_its_checkpoints(house: House, visit: Visit) -> None:
    page = await opened(visit, house, "time?thread=sums")
    points = page.locator(".checkpoint")
    assert await points.count() > 3
    await points.last.click()
    await expect(points.last).to_have_attribute("aria-pressed", "true")
    await points.first.click()
    state = page.get_by_role("region", name="State")
    await expect(state).to_contain_text("12 * 7")
    await state.get_by_role("button", name="Edit and run again").last.click()
    await page.get_by_role("dialog").get_by_role("textbox").fill("What is 2 + 2?")
    await page.get_by_role("dialog").get_by_role("button", name="Run", exact=True).click()
    await expect(page).to_have_url(re.compile(r"/console/runs\?run="))
    await page.get_by_role("tab", name="Answer").click()
    await page.goto(f"{house.base}/console/time?thread=sums")
    await page.get_by_role("button", name="Fork from here").click()
    await expect(page.get_by_role("link", name="forked from")).to_be_visible()
    visit.assert_silent()


async def test_the_graph_lights_the_step_that_works(house: House, visit: Visit) -> None:
    page = await opened(visit, house, "graph")
    await expect(page.locator('.node[data-step="call_model"] .figures')).to_contain_text("×")
    await expect(page.get_by_role("region", name="Figures of the steps").locator("tbody tr")).to_have_count(5)
    visit.assert_silent()


async def test_a_source_a_tool_and_a_file_are_tried(house: House, visit: Visit) -> None:
    page = await opened(visit, house, "sources")
    await page.get_by_label("What to ask").fill("harbour handbook")
    await page.get_by_role("button", name="Search", exact=True).click()
    await expect(page.get_by_text(re.compile(r"\d+ passages in"))).to_be_visible()
    await page.get_by_role("tab", name="Documents").click()
    await page.get_by_role("button", name="handbook.md").click()
    await expect(page.get_by_role("dialog", name="handbook.md").locator("li").first).to_be_visible()
    await opened(visit, house, "tools?server=calculator")
    await page.locator("li.card", has_text="calculator_add").get_by_role("button", name="Try").click()
    form = page.get_by_role("dialog", name="calculator_add")
    for label, number in (("a *", "5"), ("b *", "3")):
        await form.get_by_label(label).fill(number)
    await page.keyboard.press("Enter")
    await expect(form.locator("pre")).to_have_text("8")
    await opened(visit, house, "files")
    await page.get_by_role("button", name="sales.csv").click()
    await expect(page.get_by_role("dialog", name="sales.csv").locator("pre")).to_contain_text("month,sum")
    visit.assert_silent()


async def test_a_passage_that_is_quoted_is_marked_in_its_document(house: House, visit: Visit) -> None:
    await asked(house.agent, "How long is a berth reserved?", "berths")
    await visit.page.goto(f"{house.base}/?thread=berths")
    await visit.page.get_by_role("group", name="Sources").get_by_role("button").first.click()
    await visit.page.get_by_role("link", name="The passage in its document").click()
    shown = visit.page.get_by_role("dialog", name="handbook.md")
    await expect(shown.locator("li.quoted mark")).to_contain_text("A berth is reserved for fourteen days")
    visit.assert_silent()


async def test_what_failed_is_told_whenever_its_conversation_is_opened(house: House, visit: Visit) -> None:
    await visit.page.goto(f"{house.base}/?thread=dead")
    told = visit.page.locator("#transcript").get_by_role("alert")
    await expect(told).to_contain_text("the endpoint of the model 'dead' cannot be reached")
    await asked(house.agent, "And now?", "dead")
    await visit.page.reload()
    await expect(visit.page.locator(".turn")).to_have_count(2)
    await expect(told).to_have_count(1)
    visit.assert_silent()


async def test_whoever_runs_the_service_starts_a_task_resets_a_breaker_and_makes_a_key(
    house: House, visit: Visit
) -> None:
    page = await opened(visit, house, "operating")
    await page.get_by_role("tab", name="Breakers").click()
    await page.get_by_role("row", name=re.compile("model:dead")).get_by_role("button", name="Reset").click()
    await expect(page.get_by_text("The next call to model:dead goes through.")).to_be_visible()
    await page.get_by_role("tab", name="Tasks").click()
    await page.get_by_role("button", name="Run now: forget_tasks").click()
    newest = page.get_by_role("region", name="Newest tasks").get_by_role(
        "row", name=re.compile("forget_tasks")
    )
    await newest.first.get_by_role("button", name="Cancel").click()  # nobody works tasks off here
    await expect(newest.first).to_contain_text("cancelled")
    await page.get_by_role("tab", name="Keys").click()
    await page.get_by_role("button", name="Make a key").click()
    await page.get_by_label("What it is for").fill("<b>laptop</b>")
    await page.get_by_role("button", name="Make it").click()
    key = page.get_by_label("The new key")
    await expect(key).to_have_value(re.compile("^wsk_"))
    await page.keyboard.press("Escape")
    await expect(key).to_have_count(0)
    row = page.get_by_role("region", name="Keys").get_by_role("row", name=re.compile("laptop"))
    await expect(row).to_contain_text("<b>laptop</b>")
    await row.get_by_role("button").click()
    await page.get_by_role("button", name="End it").click()
    await expect(row).to_contain_text("revoked")
    visit.assert_silent()


async def test_costs_are_plotted(house: House, visit: Visit) -> None:
    page = await opened(visit, house, "costs")
    await expect(page.get_by_role("img", name="tokens by day")).to_be_visible()
    await page.get_by_label("What").select_option("runs")
    await expect(page.get_by_role("img", name="runs by day")).to_be_visible()
    await expect(page.get_by_role("list", name="By model")).to_contain_text("offline")
    visit.assert_silent()


async def test_whoever_runs_the_service_sees_how_it_is(house: House, visit: Visit) -> None:
    page = await opened(visit, house, "operating")
    await expect(page.get_by_role("list", name="Modules and what they lean on")).to_contain_text("llm")
    shown = {
        "Breakers": "model:dead",
        "Tasks": "forget_tasks",
        "Storage": "Largest threads",
        "Settings": "limits.steps",
        "Deploy check": "none would break",
        "Keys": "Make a key",
        "Audit log": "TurnFinished",
    }
    for tab, text in shown.items():
        await page.get_by_role("tab", name=tab).click()
        await expect(page.get_by_role("tabpanel", name=tab)).to_contain_text(text)
    visit.assert_silent()


@pytest.mark.parametrize("options", [{"color_scheme": "light"}, NARROW], ids=["wide", "narrow"])
@pytest.mark.always
async def test_nobody_is_kept_out_of_any_of_these_pages(
    house: House, visits: Visits, options: dict[str, Any]
) -> None:
    visit = await visits(**options)
    for name in (*PAGES, f"runs?run={house.run}", "time?thread=sums", "waiting"):
        page = await opened(visit, house, name)
        tabs = page.get_by_role("tab")
        for number in range(max(await tabs.count(), 1)):
            if await tabs.count():
                await tabs.nth(number).click()
                await expect(page.locator("main .loading:visible")).to_have_count(0)
            await assert_accessible(page, f"{name}, tab {number}")
            await nothing_is_beyond_the_edge(page, f"{name}, tab {number}")
            if options != NARROW:
                await page.emulate_media(color_scheme="dark")
                await assert_accessible(page, f"{name}, tab {number}, dark", rules=OF_COLOURS)
                await page.emulate_media(color_scheme="light")
    visit.assert_silent()


async def nothing_is_beyond_the_edge(page: Page, where: str) -> None:
    size = page.viewport_size
    assert size
    assert await page.evaluate("document.documentElement.scrollWidth") <= size["width"], where
