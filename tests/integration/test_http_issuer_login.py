"""A login at the issuer's page over HTTP: what the browser is given on its way there and back."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from core.identity.code_login import COOKIE as BEGUN
from core.identity.sessions import COOKIE
from tests.kit.http import client_of, served
from tests.kit.oidc_server import OidcServer
from waystation.testing.agents import open_agent

BACK = "/console/login/back"


@pytest.mark.always
async def test_a_browser_goes_to_the_issuer_and_comes_back_logged_in(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async with OidcServer() as issuer:
        auth = {"mode": "oidc", "oidc": {"issuer": issuer.url, "client_id": "console", "name": "Harbour"}}
        folder = tmp_path_factory.mktemp("issuer")
        server = {"public_url": "https://agents.example"}
        async with (
            open_agent(folder, tools=(), auth=auth, server=server) as agent,
            served(agent) as base,
            client_of(base) as browser,
        ):
            issuer.mode = "error"
            answer = await browser.get("/console/login/issuer")
            assert answer.status_code == 503
            assert "Harbour does not answer as it should" in answer.text
            issuer.mode = "ok"

            login = await browser.get("/console/login?next=/console/runs?run=r_1%26x=%22")
            link = re.search(r'id="issuer" href="([^"]+)"', login.text)
            assert link
            there = await browser.get(link[1].replace("&amp;", "&"))
            assert there.status_code == 303
            asked = {
                name: each[0] for name, each in parse_qs(urlsplit(there.headers["location"]).query).items()
            }
            assert asked["redirect_uri"] == f"https://agents.example{BACK}"
            kept = there.headers["set-cookie"]
            assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/console/login"} <= set(kept.split("; "))
            cookie = {"cookie": kept.partition(";")[0]}

            token = issuer.token(aud="console", nonce=asked["nonce"], groups=["staff"])
            issuer.answers["/token"] = (200, {"id_token": token, "access_token": "opaque"})
            wrong = await browser.get(BACK, params={"code": "c", "state": "other"}, headers=cookie)
            assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
            query = {"code": "c", "state": asked["state"]}
            answer = await browser.get(BACK, params=query, headers=cookie)
            assert answer.status_code == 200
            assert 'content="0;url=/console/runs?run=r_1&amp;x=&#34;"' in answer.text
            assert answer.headers["referrer-policy"] == "no-referrer"
            given = {each.partition("=")[0]: each for each in answer.headers.get_list("set-cookie")}
            assert "SameSite=strict" in given[COOKIE]
            assert "Max-Age=0" in given[BEGUN]

            who = await browser.get("/session", headers={"cookie": given[COOKIE].partition(";")[0]})
            assert (who.json()["user"], who.json()["groups"]) == ("ada", ["staff"])
            issuer.answers["/token"] = (400, {"error": "invalid_grant"})
            again = await browser.get(BACK, params=query, headers=cookie)
            assert again.status_code == 401
            assert "has been used" in again.text
            assert COOKIE not in "".join(again.headers.get_list("set-cookie"))
