"""Which models can be used, as operators see it."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from core.errors import Unavailable
from core.health import Health
from nodes.llm import LLMCaller, LLMRequest, Model
from tests.unit.nodes.llm.conftest import MakeCaller, model, policies
from waystation.testing.model_server import ModelServer

pytestmark = pytest.mark.slow

NOWHERE = "http://127.0.0.1:9/v1"


async def fail(caller: LLMCaller, name: str = "main", *, times: int = 3) -> None:
    for _ in range(times):
        with pytest.raises(Unavailable):
            await caller.call(LLMRequest(name, messages=[HumanMessage("hi")]))


def of(health: Health, name: str = "main") -> dict[str, Any]:
    found: dict[str, Any] = health.details["models"][name]
    return found


async def test_health_tells_which_endpoint_is_down_and_since_when(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    up, down = model(server.url, "up"), model(NOWHERE, "down")
    assert (await make_caller(up).check()).state == "healthy"
    caller = make_caller(down, up)
    mixed = await caller.check()
    assert mixed.state == "degraded"
    assert "'down' cannot be reached, since " in mixed.reason
    assert of(mixed, "down")["reachable"] is False
    assert of(mixed, "up") == {"reachable": True, "breaker": "closed", "since": None, "reason": ""}
    assert mixed.since is not None
    assert (await caller.check()).since == mixed.since
    assert (await make_caller(down).check()).state == "failed"


async def test_a_model_that_is_left_alone_degrades_and_is_named(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    server.misbehave(fail=1)
    caller = make_caller(model(server.url, retries=0), policies=policies(in_a_row=3))
    await fail(caller)
    health = await caller.check()
    assert health.state == "degraded"  # not failed: only a turn may find out that it works again
    assert "the model 'main' is left alone since " in health.reason
    assert "3 of 3 calls failed, the last with model_unavailable" in health.reason
    assert (of(health)["breaker"], of(health)["reachable"]) == ("open", True)
    assert health.since is not None
    assert health.since.isoformat() == of(health)["since"]


async def test_an_endpoint_that_was_gone_and_is_back_needs_no_turn_to_be_used_again(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    server.misbehave(fail=1)
    server.configure(models_status=503)
    shared = policies(in_a_row=3, open_s=0.001)
    caller = make_caller(model(server.url, retries=0), Model("offline"), policies=shared)
    await fail(caller)
    gone = await caller.check()
    assert (of(gone)["breaker"], of(gone)["reachable"]) == ("open", False)
    server.reset()
    assert (await caller.check()).state == "healthy"
    assert [target.state for target in shared.status()] == ["closed"]


async def test_an_endpoint_that_is_back_waits_for_the_pause_of_its_breaker(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    server.misbehave(fail=1)
    server.configure(models_status=503)
    shared = policies(in_a_row=3, open_s=60)
    caller = make_caller(model(server.url, retries=0), policies=shared)
    await fail(caller)
    assert (await caller.check()).state == "failed"
    server.reset()
    waiting = await caller.check()
    assert (waiting.state, of(waiting)["breaker"], of(waiting)["reachable"]) == ("degraded", "open", True)
    await shared.reset("model", "main")
    assert (await caller.check()).state == "healthy"


async def test_a_list_of_models_is_no_proof_that_the_model_answers(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    server.misbehave(fail=1)
    shared = policies(in_a_row=3, open_s=0.001)
    caller = make_caller(model(server.url, retries=0), policies=shared)
    await fail(caller)
    for _ in range(3):
        assert of(await caller.check())["breaker"] == "open"


async def test_an_endpoint_that_does_not_answer_in_time_is_said(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    server.misbehave(mute=1)
    found = await make_caller(model(server.url), Model("offline")).check()
    server.behave()
    assert "'main' did not answer within 3 s" in found.reason
