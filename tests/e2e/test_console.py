"""The console in a real browser, on a real service: chat, questions, logins, and what hostile text does."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Page, expect

from core.identity.keys import KeyStore
from core.identity.sessions import COOKIE, Sessions
from core.identity.signing import Signer
from graph.agent import Agent
from tests.kit.browser import OF_COLOURS, Visit, Visits, assert_accessible
from tests.kit.flaky import FlakyProxy
from tests.kit.http import client_of, served
from waystation.testing.agents import open_agent, write_config
from waystation.testing.mcp_servers import PEER
from waystation.testing.model_server import ModelServer, call, say

pytestmark = pytest.mark.browser

PATIENT_MS = 60_000
expect.set_options(timeout=PATIENT_MS)
SECRET = "a secret of thirty-two characters"
QUAY = "# <img src=x onerror=window.hit=1>\n\nThe <script>window.hit=1</script> quay closes at nine.\n"
BERTHS = "How long may a berth be reserved?"


@dataclass(frozen=True)
class House:
    """The service, the model that it asks, and a client beside the browser."""

    base: str
    model: ModelServer
    http: httpx.AsyncClient


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module")
async def service(model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    hotels = {"command": [sys.executable, "-P", str(PEER)]}
    files = {"mcp.json": json.dumps({"hotels": hotels, "clock": {"require_approval": ["*"]}})}
    folder = tmp_path_factory.mktemp("console")
    write_config(folder, files=files)
    (folder / "harbour" / "quay.md").write_text(QUAY)
    async with (
        open_agent(folder, model_url=model.url, tools=("calculator", "clock")) as agent,
        served(agent) as base,
    ):
        yield base


@pytest.fixture
async def house(service: str, model: ModelServer) -> AsyncIterator[House]:
    model.reset()
    async with client_of(service) as http:
        yield House(service, model, http)


async def opened(visit: Visit, house: House, path: str = "/") -> Page:
    await visit.page.goto(house.base + path)
    return visit.page


async def ask(page: Page, text: str) -> None:
    await page.get_by_label("Message", exact=True).fill(text)
    await page.keyboard.press("Enter")


async def test_a_question_is_answered_with_steps_and_passages_that_open(visit: Visit, house: House) -> None:
    house.model.script(
        call("calculator_multiply", {"a": 12, "b": 3}), say("At most **fourteen days** [1].", reasoning="Hm.")
    )
    page = await opened(visit, house)
    await ask(page, BERTHS)
    await expect(page.locator(".prose strong")).to_have_text("fourteen days")
    step = page.locator(".step")
    await expect(step.locator("summary")).to_contain_text("calculator · multiply")
    await step.locator("summary").click()
    await expect(step).to_contain_text("36")
    await page.get_by_text("What the model thought").click()
    await expect(page.get_by_text("Hm.")).to_be_visible()
    await page.get_by_role("button", name="Source 1").first.click()
    await expect(page.get_by_role("dialog")).to_contain_text("reserved for fourteen days at most")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.reload()
    await expect(page.locator(".prose strong")).to_have_text("fourteen days")
    visit.assert_silent()


@pytest.mark.always
async def test_an_approval_is_given_in_the_console_while_its_caller_waits_elsewhere(
    visit: Visit, house: House
) -> None:
    house.model.script(call("clock_now", {"zone": "UTC"}), say("It is noon."))
    page = await opened(visit, house, "/console/waiting")
    begun = (
        await house.http.post("/threads/asks/runs", json={"input": {"message": "What time is it?"}})
    ).json()
    card = page.locator("[data-question]")
    await expect(card).to_contain_text("clock · now")
    await expect(page.locator("[data-badge]")).to_have_text("1")
    await card.get_by_role("button", name="Change the arguments").click()
    await card.get_by_label("Zone").fill("Europe/Rome")
    await card.get_by_role("button", name="Approve with these").click()
    await expect(page.get_by_text("Nothing waits for you")).to_be_visible()
    ended = (await house.http.get(f"/runs/{begun['run_id']}/wait")).json()
    assert ended["output"]["answer"] == "It is noon."
    assert ended["output"]["tool_calls"][0]["decision"]["after"] == {"zone": "Europe/Rome"}
    await page.get_by_role("tab", name="Decided").click()
    await expect(page.get_by_role("table")).to_contain_text("edited")
    await expect(page.locator("[data-badge]")).to_be_hidden()
    visit.assert_silent()


async def test_a_tool_that_asks_is_answered_in_the_conversation(visit: Visit, house: House) -> None:
    house.model.script(call("hotels_book", {"place": "Rome"}), say("Booked."))
    page = await opened(visit, house)
    await ask(page, "Book a room in Rome")
    card = page.locator("[data-question]")
    await expect(card).to_contain_text("How many nights in Rome?")
    await card.get_by_label("nights", exact=False).fill("three")
    await card.get_by_role("button", name="Send").click()
    await expect(card.get_by_role("alert")).to_contain_text("is no number")
    await card.get_by_label("nights", exact=False).fill("3")
    await card.get_by_role("button", name="Send").click()
    await expect(page.locator(".prose")).to_have_text("Booked.")
    visit.assert_silent()


async def test_a_turn_that_somebody_else_drives_shows_as_it_comes_and_is_stopped_here(
    visit: Visit, house: House
) -> None:
    house.model.script(say("First words and more", hang_after=2))
    await house.http.post("/threads", json={"thread_id": "shared"})
    page = await opened(visit, house, "/?thread=shared")
    await expect(page.get_by_role("heading", name="Without a title")).to_be_visible()
    await house.http.post("/threads/shared/runs", json={"input": {"message": "From elsewhere"}})
    await expect(page.locator(".asked .bubble")).to_have_text("From elsewhere")
    await expect(page.locator(".prose")).to_contain_text("First")
    await page.get_by_role("button", name="Stop").click()
    await expect(page.get_by_text("Stopped", exact=True)).to_be_visible()
    visit.assert_silent()


async def test_a_stream_that_is_cut_goes_on_by_itself(visit: Visit, house: House) -> None:
    house.model.script(say("One two three four", hang_after=2))
    with FlakyProxy(house.base) as proxy:
        await visit.page.goto(f"{proxy.url}/")
        page = visit.page
        await ask(page, "Count")
        await expect(page.locator(".prose")).to_contain_text("One")
        proxy.refuse()
        await expect(page.get_by_text("The connection was cut")).to_be_visible()
        house.model.release()
        proxy.heal()
        await expect(page.locator(".prose")).to_have_text("One two three four")
        await expect(page.get_by_label("Copy the answer")).to_be_visible()
        await expect(page.get_by_text("The connection was cut")).to_be_hidden()
        assert visit.refused == visit.foreign == []


async def test_a_message_is_said_differently_in_a_branch(visit: Visit, house: House) -> None:
    house.model.script(say("The first answer."), match="first way")
    house.model.script(say("The second answer."), match="second way")
    page = await opened(visit, house)
    await ask(page, "The first way")
    await expect(page.locator(".prose")).to_have_text("The first answer.")
    before = page.url
    await page.get_by_role("button", name="Edit and run again").click()
    await page.get_by_label("The message, as it should have been").fill("The second way")
    await page.get_by_role("button", name="Run as a branch").click()
    await expect(page.locator(".prose")).to_have_text("The second answer.")
    assert page.url != before
    await page.get_by_role("link", name="branch of another").click()
    await expect(page.locator(".prose")).to_have_text("The first answer.")
    visit.assert_silent()


async def test_a_file_that_is_attached_goes_with_the_message(
    visit: Visit, house: House, tmp_path: Path
) -> None:
    (tmp_path / "sales.csv").write_text("region,amount\nnorth,10\n")
    house.model.script(say("North sold ten."))
    page = await opened(visit, house)
    await page.locator("#chooser").set_input_files(tmp_path / "sales.csv")
    await expect(page.locator("#files")).to_contain_text("sales.csv")
    await page.get_by_role("button", name="Send").click()
    await expect(page.get_by_text("Say what is to be done with the file.")).to_be_visible()
    await ask(page, "What was sold?")
    await expect(page.locator(".prose")).to_have_text("North sold ten.")
    await expect(page.locator(".asked .chip")).to_contain_text("sales.csv")
    assert "north,10" in json.dumps(house.model.requests()[-1])
    await page.reload()
    await expect(page.locator(".asked .chip")).to_contain_text("sales.csv")
    visit.assert_silent()


async def test_the_keyboard_alone_will_do(visit: Visit, house: House) -> None:
    house.model.script(say("By keys."))
    # As where a page came by http from another machine.
    await visit.context.add_init_script("delete Crypto.prototype.randomUUID")
    page = await opened(visit, house)
    await expect(page.get_by_label("Message", exact=True)).to_be_focused()
    await page.keyboard.type("Hello")
    await page.keyboard.press("Enter")
    await expect(page.locator(".prose")).to_have_text("By keys.")
    await page.get_by_role("button", name="Rename, and set tags").press("Enter")
    await page.get_by_label("Title").fill("Greetings")
    await page.keyboard.press("Enter")
    await expect(page.locator("#head h1")).to_have_text("Greetings")
    await page.goto(house.base + "/console/waiting")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()
    visit.assert_silent()


async def test_nobody_is_kept_out_by_how_a_page_is_made(visits: Visits, house: House) -> None:
    house.model.script(call("calculator_add", {"a": 1, "b": 2}), say("# Three\n\n| a |\n|-|\n| `3` [1] |"))
    house.model.script(call("clock_now", {"zone": "UTC"}), match="the time")
    for message in (BERTHS, "What is the time?"):
        body = {"input": {"message": message}}
        run = (await house.http.post("/threads/axe/runs", json=body)).json()["run_id"]
        await house.http.get(f"/runs/{run}/wait")
    page = (await visits(viewport={"width": 1280, "height": 900})).page
    for path, ready in (
        ("/?thread=axe", "Wants your word"),
        ("/", "What would"),
        ("/console/waiting", "clock"),
    ):
        await page.emulate_media(color_scheme="light")
        await page.goto(house.base + path)
        await expect(page.get_by_text(ready).first).to_be_visible()
        await assert_accessible(page, path)
        await page.emulate_media(color_scheme="dark")
        await assert_accessible(page, f"{path}, dark", rules=OF_COLOURS)


HOSTILE = [
    "<script>window.hit = 1</script>",
    "<img src=x onerror='window.hit=1'>",
    "<img src='http://evil.example/a.png'>",
    "<svg onload=window.hit=1><script>window.hit=1</script></svg>",
    "<iframe srcdoc='<script>parent.hit=1</script>'></iframe>",
    "<a href='javascript:window.hit=1'>click</a>",
    "<style>body{display:none}</style>",
    "<link rel=stylesheet href=http://evil.example/a.css>",
    "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "<form action=http://evil.example><button>go</button></form>",
    "<object data=http://evil.example></object>",
    "<embed src=http://evil.example>",
    "<base href=http://evil.example/>",
    "<details open ontoggle=window.hit=1>",
    "<input autofocus onfocus=window.hit=1>",
    "<body onload=window.hit=1>",
    "<video><source onerror=window.hit=1></video>",
    "<math><mtext></p><img src=x onerror=window.hit=1>",
    "<template><script>window.hit=1</script></template>",
    "</textarea><script>window.hit=1</script>",
    "</title><script>window.hit=1</script>",
    '"><script>window.hit=1</script>',
    "' onmouseover='window.hit=1",
    "{{constructor.constructor('window.hit=1')()}}",
    "${window.hit=1}",
    "![x](http://evil.example/pixel.png)",
    "![x](javascript:window.hit=1)",
    "[x](javascript:window.hit=1)",
    "[x](data:text/html,<script>window.hit=1</script>)",
    "[x](vbscript:window.hit=1)",
    "[x]( java\tscript:window.hit=1)",
    "[![x](http://evil.example/a.png)](http://evil.example)",
    "<http://evil.example>",
    "[x]: http://evil.example/a\n\n[x]",
    "```html\n<script>window.hit=1</script>\n```",
    "a" * 4000,
    "https://evil.example/" + "b" * 3000,
    "\u202egnp.exe\u202c and \u2066more\u2069 \u200f\u200e",
    "Z\u0351\u0326\u0312a\u0300\u0301\u0302l\u0338g\u0336o" * 60,
    "\u0000\ufffd\u2028\u2029\ufeff\U0001f468\u200d\U0001f469\u200d\U0001f467".replace("\x00", ""),
]


@pytest.mark.always
async def test_nothing_that_people_models_tools_or_files_say_does_anything(
    visits: Visits, house: House
) -> None:
    assert len(HOSTILE) == 40
    whole = "\n\n".join(HOSTILE)
    house.model.script(call("hotels_book", {"place": whole[:3000]}), say(whole, reasoning=whole))
    for number in (0, 1, 35, 37):
        made = (await house.http.post("/threads", json={"title": HOSTILE[number][:200]})).json()
        await house.http.patch(f"/threads/{made['id']}", json={"tags": [HOSTILE[number][:40]]})
    name = HOSTILE[1].replace("/", "-")[:100] + ".csv"
    key = (await house.http.post("/files", files={"file": (name, whole.encode())})).json()["key"]
    asked = {"message": whole, "files": [key]}
    run = (await house.http.post("/threads/hostile/runs", json={"input": asked})).json()["run_id"]
    asking = await visits()
    await opened(asking, house, "/console/waiting")
    await expect(asking.page.locator("[data-question]").first).to_contain_text("<script>")
    assert await asking.page.evaluate("window.hit") is None
    asking.assert_silent()
    answer = {"resume": {"action": "accept", "content": {"nights": 3}}}
    assert (await house.http.post(f"/runs/{run}/resume", json=answer)).status_code == 202
    house.model.script(say("At nine [1]."), match="quay")
    await house.http.get(f"/runs/{run}/wait")
    await house.http.post("/threads/hostile/runs", json={"input": {"message": "When does the quay close?"}})
    for width in (1280, 360):
        visit = await visits(viewport={"width": width, "height": 740})
        page = await opened(visit, house, "/?thread=hostile")
        await expect(page.locator(".prose").last).to_contain_text("At nine")
        await expect(page.get_by_label("Copy the answer")).to_have_count(2)
        for summary in await page.locator("details > summary").all():
            await summary.click()
        await expect(page.locator(".prose pre code").first).to_contain_text("<script>")
        await page.locator(".cite").last.click()
        await expect(page.get_by_role("dialog")).to_contain_text("<script>window.hit=1</script> quay")
        await page.keyboard.press("Escape")
        assert await page.evaluate("window.hit") is None
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        for place in ("main", ".conversation", ".transcript"):
            assert await page.locator(place).evaluate("e => e.scrollWidth <= e.clientWidth"), place
        assert await page.locator("main :is(script, img, iframe, style, base, object, embed)").count() == 0
        visit.assert_silent()


class TestLogins:
    """People who log in, two of them."""

    @pytest.fixture(scope="class")
    async def agent(self, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
        auth: dict[str, Any] = {"mode": "keys", "session_secret": SECRET}
        async with open_agent(tmp_path_factory.mktemp("keys"), tools=(), auth=auth) as agent:
            yield agent

    @pytest.fixture
    async def address(self, agent: Agent) -> AsyncIterator[str]:
        async with served(agent) as base:
            yield base

    @pytest.mark.always
    async def test_a_login_ends_and_two_people_see_nothing_of_each_other(
        self, visits: Visits, agent: Agent, address: str
    ) -> None:
        keys = {user: (await KeyStore(agent.engine).create(user))[1] for user in ("ada", "bob")}
        pages = {}
        for user, key in keys.items():
            visit = await visits()
            page = visit.page
            # Read twice, the path of this address would name another host.
            await page.goto(f"{address}/console/login?next=/..//evil.example")
            await page.get_by_label("API key or token").fill(key)
            await page.get_by_role("button", name="Log in").click()
            await expect(page).to_have_url(f"{address}//evil.example")
            await visit.context.clear_cookies()
            await page.goto(f"{address}/?thread=of-ada")
            await page.get_by_label("API key or token").fill("wsk_wrong")
            await page.get_by_role("button", name="Log in").click()
            await expect(page.get_by_role("alert")).to_contain_text("unknown, expired or revoked")
            await page.get_by_label("API key or token").fill(key)
            await page.get_by_role("button", name="Log in").click()
            await expect(page).to_have_url(f"{address}/?thread=of-ada")
            if user == "ada":
                async with client_of(address) as http:
                    http.headers["authorization"] = f"Bearer {key}"
                    await http.post("/threads", json={"thread_id": "of-ada", "title": "Ada's plans"})
                await page.reload()
            pages[user] = (visit, page)
        await expect(pages["ada"][1].get_by_role("heading", name="Ada's plans")).to_be_visible()
        await expect(pages["bob"][1].get_by_role("alert")).to_contain_text("of-ada")
        assert await pages["bob"][1].get_by_text("Ada's plans").count() == 0
        visit, page = pages["ada"]
        assert await page.evaluate("document.cookie") == ""
        ended = await Sessions(Signer(SECRET), {"keys": KeyStore(agent.engine)}, seconds=-1).begin(
            keys["ada"]
        )
        await visit.context.add_cookies([{"name": COOKIE, "value": ended.value, "url": address}])
        await expect(page).to_have_url(f"{address}/console/login?next=%2F%3Fthread%3Dof-ada")
        bob, page = pages["bob"]
        await page.goto(f"{address}/console/runs?user=*")
        await expect(page.get_by_label("Thread")).to_be_visible()
        await expect(page.get_by_label("User")).to_have_count(0)  # he may see none but his own
        await page.get_by_role("button", name="Log out").click()
        await expect(page).to_have_url(f"{address}/console/login?left=1")
        assert [each for each in await bob.context.cookies() if each["name"] == COOKIE] == []
        assert visit.refused == bob.refused == []
