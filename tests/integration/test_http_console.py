"""Pages over HTTP: who gets them, what their answers forbid a browser, and logins of browsers."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from core.identity.keys import KeyStore
from core.identity.sessions import COOKIE, Sessions
from core.identity.signing import Signer
from graph.agent import Agent
from server.console.assets import assets, url_of, version
from server.console.table import PAGES
from tests.kit.http import assert_problem, client_of, served
from tests.kit.oidc_server import AUDIENCE, OidcServer
from waystation.testing.agents import open_agent

PERSON = {"accept": "text/html,application/xhtml+xml"}
CONFIRMED = {"x-waystation-console": "1"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
async def test_a_page_is_html_that_nobody_keeps_under_a_strict_policy(
    http: httpx.AsyncClient, page: object
) -> None:
    answer = await http.get(page.path)  # type: ignore[attr-defined]
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    policy = answer.headers.get_list("content-security-policy")[0]
    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=", answer.text)


async def test_all_that_the_first_page_loads_weighs_less_than_150_kb(http: httpx.AsyncClient) -> None:
    page = await http.get("/")
    seen: set[str] = set()
    waiting = re.findall(r'(?:src|href)="(/console/static/[^"]+)"', page.text)
    total = len(page.content)
    while waiting:
        address = waiting.pop()
        if address in seen:
            continue
        seen.add(address)
        answer = await http.get(address)
        assert answer.status_code == 200, address
        total += len(answer.content)
        if address.endswith(".js"):
            named = re.findall(r'(?:from|import) "(\.[^"]+)"', answer.text)
            waiting += [str(httpx.URL(address).join(name)) for name in named]
    assert any(address.endswith("/chat/page.js") for address in seen)
    assert total < 150_000


@pytest.mark.parametrize(
    "path", ["/docs", "/docs/start.js", "/chat/playground/", "/health/live", "/", "/console"]
)
async def test_head_is_answered_as_get_without_a_body(http: httpx.AsyncClient, path: str) -> None:
    got, asked = await http.get(path), await http.head(path)
    assert (asked.status_code, asked.content) == (got.status_code, b"")
    same = ("content-type", "content-length", "content-security-policy", "location")
    assert [asked.headers.get(name) for name in same] == [got.headers.get(name) for name in same]
    assert (await http.head(url_of("dom.js"))).status_code == 200
    assert_problem(await http.post(path), 405, "method_not_allowed")


async def test_head_is_no_way_to_begin_what_waits(http: httpx.AsyncClient) -> None:
    assert (await http.head("/runs/r-1/events")).status_code == 405


async def test_files_of_pages_are_kept_by_browsers_under_an_address_that_changes_with_them(
    http: httpx.AsyncClient,
) -> None:
    answer = await http.get(url_of("console.css"))
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    other = await http.get(url_of("console.css").replace(version(), "0" * 16))
    assert other.content == answer.content
    assert other.headers["cache-control"] == "no-cache"


async def test_an_address_that_is_no_pages_says_so_as_it_is_asked(http: httpx.AsyncClient) -> None:
    answer = await http.get("/console/runz", headers=PERSON)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "there is no page &#39;/console/runz&#39;" in answer.text
    assert "<nav" in answer.text
    assert_problem(await http.get("/console/runz"), 404, "no_such_route")


@pytest.mark.parametrize("name", ["none.js", "%2e%2e/table.py", "chat", ""])
async def test_nothing_but_those_files_is_served(http: httpx.AsyncClient, name: str) -> None:
    assert_problem(await http.get(f"/console/static/{version()}/{name}"), 404, "no_such_route")


def test_an_asset_that_is_not_there_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError):
        url_of("none.js")
    assert "dom.js" in assets()


async def test_the_docs_have_no_script_in_their_page(http: httpx.AsyncClient) -> None:
    answer = await http.get("/docs")
    assert "script-src 'self';" in answer.headers.get_list("content-security-policy")[0]
    assert not re.search(r"<script(?![^>]*\ssrc=)", answer.text)
    assert (await http.get("/docs/start.js")).headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize("path", ["/agent/playground/", "/chat/playground/"])
async def test_the_playgrounds_reach_no_other_host(http: httpx.AsyncClient, path: str) -> None:
    policy = (await http.get(path)).headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval';")
    assert "connect-src 'self'" in policy


async def test_where_nobody_logs_in_there_is_no_login(http: httpx.AsyncClient) -> None:
    assert (await http.get("/console/login")).headers["location"] == "/"
    assert (await http.get("/console")).headers["location"] == "/"
    assert "data-log-out" not in (await http.get("/")).text
    assert_problem(await http.post("/session", json={"token": "x"}), 422, "invalid_request")
    assert (await http.get("/session")).json()["expires_at"] is None


async def test_switched_off_there_are_no_pages(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("off")
    async with (
        open_agent(folder, tools=(), server={"console": False}, auth={"mode": "keys"}) as agent,
        served(agent) as base,
        client_of(base) as http,
    ):
        for path in ("/", "/console/waiting", "/console/login", url_of("dom.js")):
            assert_problem(await http.get(path, headers=PERSON), 401, "not_authenticated")
        _, key = await KeyStore(agent.engine).create("ada")
        http.headers["authorization"] = f"Bearer {key}"
        for path in ("/", "/console/waiting", "/console/login", url_of("dom.js")):
            assert_problem(await http.get(path, headers=PERSON), 404, "no_such_route")


@dataclass(frozen=True)
class House:
    """A service where people log in by key or token."""

    agent: Agent
    base: str
    issuer: OidcServer
    keys: KeyStore

    async def key(self, user: str = "ada", scopes: tuple[str, ...] = ("use",)) -> str:
        return (await self.keys.create(user, scopes=scopes))[1]

    def sessions(self, seconds: float) -> Sessions:
        """Makes cookies as the service does."""
        return Sessions(Signer(SECRET), {"keys": self.keys}, seconds=seconds)


SECRET = "a secret of thirty-two characters"


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with OidcServer() as issuer:
        oidc = {"issuer": issuer.url, "audience": [AUDIENCE]}
        auth = {"mode": ["keys", "oidc"], "oidc": oidc, "session_secret": SECRET}
        server = {"cors_origins": ["http://localhost:5173"]}
        folder = tmp_path_factory.mktemp("house")
        async with open_agent(folder, tools=(), auth=auth, server=server) as agent, served(agent) as base:
            yield House(agent, base, issuer, KeyStore(agent.engine))


@pytest.fixture
async def browser(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(house.base) as client:
        yield client


async def logged_in(browser: httpx.AsyncClient, token: str) -> httpx.Response:
    answer = await browser.post("/session", json={"token": token})
    assert answer.status_code == 201, answer.text
    return answer


async def test_whoever_is_not_logged_in_is_led_there_and_back(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/console/waiting?after=x", headers=PERSON)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/console/login?next=%2Fconsole%2Fwaiting%3Fafter%3Dx"
    page = await browser.get(answer.headers["location"])
    assert page.status_code == 200
    assert "API key or token" in page.text
    assert_problem(await browser.get("/console/waiting"), 401, "not_authenticated")
    assert_problem(await browser.get("/threads", headers=PERSON), 401, "not_authenticated")


async def test_a_key_becomes_a_cookie_that_only_our_pages_send(
    house: House, browser: httpx.AsyncClient
) -> None:
    key = await house.key()
    given = (await logged_in(browser, key)).headers["set-cookie"]
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(given.split("; "))
    assert (
        key.rpartition("_")[2]
        not in base64.urlsafe_b64decode(given.split("=")[1].split(".")[0] + "==").decode()
    )
    assert (await browser.get("/", headers=PERSON)).status_code == 200
    session = (await browser.get("/session")).json()
    assert session["user"] == "ada"
    assert session["expires_at"]
    made = await browser.post("/threads", json={"thread_id": "of-ada"}, headers=CONFIRMED)
    assert made.status_code == 201


async def test_what_changes_something_needs_the_header_that_other_pages_cannot_send(
    house: House, browser: httpx.AsyncClient
) -> None:
    await logged_in(browser, await house.key())
    assert_problem(await browser.post("/threads", json={}), 403, "session_unconfirmed")
    foreign = {**CONFIRMED, "origin": "http://localhost:5173"}
    assert_problem(await browser.post("/threads", json={}, headers=foreign), 401, "not_authenticated")
    assert_problem(await browser.get("/threads", headers=foreign), 401, "not_authenticated")
    elsewhere = {**CONFIRMED, "origin": "http://evil.example"}
    assert_problem(await browser.post("/threads", json={}, headers=elsewhere), 403, "host_refused")
    assert_problem(
        await browser.post("/session", json={"token": "x"}, headers=elsewhere), 403, "host_refused"
    )
    own = {**CONFIRMED, "origin": house.base}
    assert (await browser.post("/threads", json={}, headers=own)).status_code == 201
    other = {"authorization": f"Bearer {await house.key('bob')}"}
    assert (await browser.get("/session", headers=other)).json()["user"] == "bob"


async def test_where_the_issuer_knows_no_client_there_is_no_way_to_its_page(
    browser: httpx.AsyncClient,
) -> None:
    assert 'id="issuer"' not in (await browser.get("/console/login")).text
    for path in ("/console/login/issuer", "/console/login/back?code=c&state=s"):
        assert_problem(await browser.get(path), 404, "no_such_route")
    assert_problem(await browser.get("/console/login/other"), 401, "not_authenticated")


async def test_logging_out_takes_the_cookie_back(house: House, browser: httpx.AsyncClient) -> None:
    await logged_in(browser, await house.key())
    assert (await browser.delete("/session", headers=CONFIRMED)).status_code == 204
    assert COOKIE not in browser.cookies
    assert (await browser.get("/", headers=PERSON)).status_code == 303


async def test_a_login_ends_by_itself(house: House, browser: httpx.AsyncClient) -> None:
    key = await house.key()
    ended = await house.sessions(-1).begin(key)
    browser.cookies.set(COOKIE, ended.value)
    assert_problem(await browser.get("/threads"), 401, "not_authenticated")
    assert (await browser.get("/", headers=PERSON)).status_code == 303
    going = await house.sessions(60).begin(key)
    browser.cookies.set(COOKIE, going.value)
    assert (await browser.get("/threads")).status_code == 200


async def test_a_revoked_key_ends_its_logins(house: House, browser: httpx.AsyncClient) -> None:
    record, key = await house.keys.create("ada")
    await house.keys.revoke(record.id)
    refused = await browser.post("/session", json={"token": key})
    assert_problem(refused, 401, "not_authenticated")
    record, key = await house.keys.create("ada")
    session = await house.sessions(60).begin(key)
    await house.keys.revoke(record.id)
    browser.cookies.set(COOKIE, session.value)
    answer = assert_problem(await browser.get("/threads"), 401, "not_authenticated")
    assert "log in again" in answer["detail"]


@pytest.mark.parametrize("value", ["", "x", "a.b", "e30.e30", "é.", "." * 5000, "eyJieSI6ICJvaWRjIn0.AAAA"])
async def test_a_cookie_that_is_none_of_ours_lets_nobody_in(browser: httpx.AsyncClient, value: str) -> None:
    cookie = f"{COOKIE}={value}".encode()
    answer = await browser.get("/threads", headers=[(b"cookie", cookie)])
    assert_problem(answer, 401, "not_authenticated")


async def test_of_two_cookies_none_is_chosen(house: House, browser: httpx.AsyncClient) -> None:
    value = (await house.sessions(60).begin(await house.key())).value
    answer = await browser.get("/threads", headers={"cookie": f"{COOKIE}={value}; {COOKIE}={value}"})
    assert_problem(answer, 401, "not_authenticated")


async def test_a_token_of_the_issuer_logs_in_until_its_end(house: House, browser: httpx.AsyncClient) -> None:
    answer = await logged_in(browser, house.issuer.token(sub="eve", groups=["staff"]))
    assert int(re.search(r"Max-Age=(\d+)", answer.headers["set-cookie"])[1]) <= 60  # type: ignore[index]
    session = (await browser.get("/session")).json()
    assert (session["user"], session["groups"]) == ("eve", ["staff"])
    large = house.issuer.token(groups=[f"group-{number}" * 8 for number in range(200)])
    assert_problem(await browser.post("/session", json={"token": large}), 401, "not_authenticated")


async def test_a_page_that_somebody_may_not_see_says_so_and_lists_what_they_may(
    house: House, browser: httpx.AsyncClient
) -> None:
    await logged_in(browser, await house.key("ops", scopes=("operate",)))
    answer = await browser.get("/", headers=PERSON)
    assert answer.status_code == 403
    assert "this needs the scope &#39;use&#39;" in answer.text
    assert "<nav" in answer.text
    assert_problem(await browser.get("/"), 403, "scope_missing")
