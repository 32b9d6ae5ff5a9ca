"""Logins at the page of a real OpenID Connect provider, in a browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from playwright.async_api import Page, expect

from core.identity.code_login import COOKIE as BEGUN
from core.identity.sessions import COOKIE
from server.console.table import FROM_ISSUER
from tests.kit.browser import Visit, Visits
from tests.kit.http import served
from tests.kit.oidc_provider import oidc_provider
from waystation.testing.agents import open_agent

pytestmark = pytest.mark.browser

SECRET = "a secret of thirty-two characters"
BUTTON = "Log in with Harbour"


@dataclass(frozen=True)
class House:
    """The service and its issuer."""

    base: str
    issuer: str


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with oidc_provider("console", "very/secret:word", FROM_ISSUER) as address:
        yield address


@pytest.fixture(scope="module")
async def house(issuer: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    oidc = {"issuer": issuer, "name": "Harbour", "client_id": "console", "client_secret": "very/secret:word"}
    auth = {"mode": ["keys", "oidc"], "oidc": oidc, "session_secret": SECRET}
    folder = tmp_path_factory.mktemp("issuer")
    async with open_agent(folder, tools=(), auth=auth) as agent, served(agent) as base:
        yield House(base, issuer)


async def there(page: Page, user: str) -> None:
    """The provider's own pages: who it is, and that this service may know."""
    await page.get_by_placeholder("Enter any login").fill(user)
    await page.get_by_placeholder("and password").fill("any")
    await page.get_by_role("button", name="Sign-in").click()
    await page.get_by_role("button", name="Continue").click()


@pytest.mark.always
async def test_a_person_logs_in_at_the_issuer_and_out_again(house: House, visit: Visit) -> None:
    page = visit.page
    await page.goto(f"{house.base}/console/waiting")
    await page.get_by_role("link", name=BUTTON).click()
    await there(page, "ada")
    await expect(page).to_have_url(f"{house.base}/console/waiting")
    await expect(page.get_by_text("Nothing waits for you")).to_be_visible()
    who = await page.evaluate("fetch('/session').then((answer) => answer.json())")
    assert (who["user"], who["groups"]) == ("ada", ["staff"])
    kept = {each["name"]: each for each in await visit.context.cookies(house.base)}
    assert (kept[COOKIE]["sameSite"], kept[COOKIE]["httpOnly"]) == ("Strict", True)
    assert BEGUN not in kept
    await page.get_by_role("button", name="Log out").click()
    # The issuer still knows them: without a word, whoever comes next would be let in.
    await page.get_by_role("link", name=BUTTON).click()
    await expect(page.get_by_placeholder("Enter any login")).to_be_visible()
    assert COOKIE not in {each["name"] for each in await visit.context.cookies(house.base)}
    assert (visit.refused, [url for url in visit.foreign if "fonts.googleapis" not in url]) == ([], [])


async def test_a_person_who_calls_it_off_is_told(house: House, visit: Visit) -> None:
    page = visit.page
    await page.goto(f"{house.base}/")
    await page.get_by_role("link", name=BUTTON).click()
    await page.get_by_role("link", name="Cancel").click()
    await expect(page.get_by_role("alert")).to_contain_text("Harbour did not log you in")
    await expect(page.get_by_label("API key or token")).to_be_visible()


async def test_of_two_logins_side_by_side_the_last_begun_counts(house: House, visit: Visit) -> None:
    first, last = visit.page, await visit.context.new_page()
    for page in (first, last):
        await page.goto(f"{house.base}/console/waiting")
        await page.get_by_role("link", name=BUTTON).click()
    await there(first, "ada")
    await expect(first.get_by_role("alert")).to_contain_text("the answer to another login")
    await (
        last.get_by_role("button", name="Continue").or_(last.get_by_placeholder("Enter any login")).wait_for()
    )
    await last.reload()
    await there(last, "ada")
    await expect(last).to_have_url(f"{house.base}/console/waiting")


async def test_a_code_logs_in_once_and_only_where_the_login_was_begun(house: House, visits: Visits) -> None:
    ada, eve = await visits(), await visits()
    await ada.page.goto(f"{house.base}/console/login?next=//evil.example")
    await ada.page.get_by_role("link", name=BUTTON).click()
    kept = await ada.context.cookies(house.base + FROM_ISSUER)
    begun = next(str(each.get("value")) for each in kept if each.get("name") == BEGUN)
    async with ada.page.expect_request(re.compile(FROM_ISSUER)) as back:
        await there(ada.page, "ada")
    address = (await back.value).url
    await expect(ada.page).to_have_url(f"{house.base}/")
    await eve.page.goto(address)
    await expect(eve.page.get_by_role("alert")).to_contain_text("this browser has begun no login")
    await eve.context.add_cookies([{"name": BEGUN, "value": begun, "url": house.base}])
    await eve.page.goto(address)
    await expect(eve.page.get_by_role("alert")).to_contain_text("it has been used, or is too old")
    assert COOKIE not in {each["name"] for each in await eve.context.cookies(house.base)}
    assert eve.foreign == []
