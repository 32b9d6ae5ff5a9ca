"""What all protocols share: they are switched by a setting, and refuse in their own form."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import httpx
import pytest
from pydantic import ValidationError

from core.settings.platform import Protocol, ServerSettings
from server.protocols.table import WIRES
from tests.kit.http import assert_problem, assert_refused, client_of, served
from waystation.testing.agents import open_agent


def test_the_setting_names_every_protocol_of_the_table() -> None:
    assert tuple(wire.name for wire in WIRES) == get_args(Protocol)
    assert ServerSettings().protocols == list(get_args(Protocol))


def test_an_unknown_protocol_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValidationError, match="openai"):
        ServerSettings.model_validate({"protocols": ["carrier-pigeon"]})


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_the_routes_of_a_protocol_stand_below_its_root(wire: object) -> None:
    [found] = [each for each in WIRES if each is wire]
    paths = [getattr(route, "path", "") for route in found.router.routes]
    assert [path for path in paths if path and not f"{path}/".startswith(f"{found.root}/")] == []


async def test_a_protocol_that_is_switched_off_has_no_routes(tmp_path: Path) -> None:
    async with (
        open_agent(tmp_path, tools=(), server={"protocols": []}) as agent,
        served(agent) as base,
        client_of(base) as http,
    ):
        off = assert_refused(await http.get("/v1/models"), 404, "no_such_route")
        assert "server.protocols" in off["error"]["message"]
        for path in ("/ag-ui", "/a2a"):
            assert_refused(await http.post(path, json={}), 404, "no_such_route")
        assert (await http.get("/.well-known/agent-card.json")).status_code == 404
        assert (await http.get("/models")).status_code == 200


async def test_whatever_refuses_does_it_in_the_form_of_the_path(http: httpx.AsyncClient) -> None:
    unknown = await http.get("/v1/nothing")
    assert_refused(unknown, 404, "no_such_route")
    assert unknown.json()["error"]["type"] == "invalid_request_error"
    broken = await http.post(
        "/v1/chat/completions", content=b"{", headers={"content-type": "application/json"}
    )
    assert_refused(broken, 400, "bad_json")
    foreign = await http.get("/v1/models", headers={"origin": "https://evil.example"})
    assert_refused(foreign, 403, "host_refused")
    assert foreign.json()["error"]["type"] == "permission_error"
    assert_problem(await http.get("/nothing"), 404, "no_such_route")
