"""Models through their policies: what a bad endpoint costs, and whom."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from core.access import Principal
from core.errors import Unavailable
from core.resilience import BreakerOpen, Policies, ResilienceSettings, TooBusy
from nodes.llm import LLMRequest, Model
from nodes.llm.errors import ModelNotFound, ModelRateLimited, ModelStreamCut, ModelTimedOut, ModelUnavailable
from tests.kit.patience import A_BUSY_MACHINE_S
from tests.unit.nodes.llm.conftest import MakeCaller, model, policies
from waystation.testing.model_server import ModelServer, refuse, say

pytestmark = pytest.mark.slow

NOWHERE = "http://127.0.0.1:9/v1"
THREE = {"in_a_row": 3, "open_s": 60}


def ask(name: str = "", **values: Any) -> LLMRequest:
    return LLMRequest(name, messages=[HumanMessage("hi")], **values)


def states(of: Policies) -> dict[str, str]:
    return {target.name: target.state for target in of.status()}


async def test_a_hang_costs_its_silence_once_and_is_not_tried_again(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    server.misbehave(hang=1)
    main = model(server.url, first_token_timeout_s=0.3, retries=5)
    began = time.monotonic()
    with pytest.raises(ModelTimedOut, match=r"nothing for 0\.3 s"):
        await make_caller(main).call(ask())
    assert time.monotonic() - began < A_BUSY_MACHINE_S
    assert len(server.requests()) == 1


async def test_a_fallback_answers_for_a_model_that_hangs(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    server.script({**say("late"), "hang_after": 0}, say("I am here"))
    main = model(server.url, first_token_timeout_s=0.2, fallbacks=["spare"])
    response = await make_caller(main, model(server.url, "spare")).call(ask())
    assert (response.text, response.usage.model) == ("I am here", "spare")


async def test_tries_and_pauses_together_take_no_longer_than_the_longest_answer(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    server.script(refuse(503, retry_after=0.4), *[{**say("x"), "hang_after": 0}])
    main = model(server.url, timeout_s=0.8)
    began = time.monotonic()
    with pytest.raises(ModelTimedOut, match=r"within 0\.8 s \(timeout_s\)"):
        await make_caller(main).call(ask())
    assert time.monotonic() - began < A_BUSY_MACHINE_S


async def test_a_model_that_keeps_failing_is_left_alone_and_its_fallback_answers(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    server.misbehave(fail=1)
    shared = policies(**THREE)
    main = model(server.url, fallbacks=["spare"])
    caller = make_caller(main, Model("spare"), policies=shared)
    for _ in range(3):
        assert (await caller.call(ask())).usage.model == "spare"
    asked = len(server.requests())
    assert (await caller.call(ask())).usage.model == "spare"
    assert len(server.requests()) == asked == 3
    assert states(shared) == {"main": "open"}


async def test_without_a_fallback_an_open_breaker_says_when_to_come_back(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    server.misbehave(fail=1)
    caller = make_caller(model(server.url, retries=2), policies=policies(**THREE))
    with pytest.raises(ModelUnavailable):
        await caller.call(ask())
    with pytest.raises(BreakerOpen, match="the model 'main' failed too often") as refused:
        await caller.call(ask())
    assert 0 < refused.value.retry_after <= 60
    assert refused.value.retryable


async def test_more_callers_than_places_get_the_fallback_or_hear_it(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    server.misbehave(hang=1)  # a stream that is open has given its place back
    covered = model(server.url, "covered", fallbacks=["offline"])
    narrow = {"covered": {"at_once": 1, "queue": 0}, "main": {"at_once": 1, "queue": 0}}
    few = Policies(
        ResilienceSettings.model_validate({"targets": {f"model:{k}": v for k, v in narrow.items()}})
    )
    caller = make_caller(model(server.url), covered, Model("offline"), policies=few)
    first = asyncio.create_task(caller.call(ask("main")))
    await asyncio.to_thread(server.wait_for_requests, 1)
    with pytest.raises(TooBusy):
        await caller.call(ask("main"))
    second = asyncio.create_task(caller.call(ask("covered")))
    await asyncio.to_thread(server.wait_for_requests, 2)
    assert (await caller.call(ask("covered"))).usage.model == "offline"
    server.behave()
    await asyncio.gather(first, second)


@pytest.mark.parametrize(
    "broken", [{"cut_after": 1}, {"error_after": 1}, {"finish_reason": None, "done": False}]
)
async def test_a_model_that_always_breaks_off_is_found_out(
    server: ModelServer, make_caller: MakeCaller, broken: dict[str, Any]
) -> None:
    shared = policies(min_calls=4)
    caller = make_caller(model(server.url), policies=shared)
    for _ in range(2):
        server.script(say("one two", **broken))
        with pytest.raises(ModelStreamCut):
            await caller.call(ask())
    assert states(shared) == {"main": "open"}


async def test_an_empty_answer_without_an_end_is_tried_again(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    server.script(say("", finish_reason=None, done=False), say("whole"))
    assert (await make_caller(model(server.url)).call(ask())).text == "whole"


async def test_a_limited_model_is_not_held_to_be_broken(server: ModelServer, make_caller: MakeCaller) -> None:
    shared = policies(**THREE)
    server.script(*[refuse(429) for _ in range(6)])
    caller = make_caller(model(server.url, retries=5), policies=shared)
    with pytest.raises(ModelRateLimited):
        await caller.call(ask())
    assert states(shared) == {"main": "closed"}
    assert len(server.requests()) == 6


async def test_a_reader_who_leaves_is_no_failure(server: ModelServer, make_caller: MakeCaller) -> None:
    shared = policies(in_a_row=1)
    server.script(*[say("one two", hang_after=1) for _ in range(3)])
    caller = make_caller(model(server.url), policies=shared)
    for _ in range(3):
        task = asyncio.create_task(caller.call(ask()))
        await asyncio.to_thread(server.wait_for_active, 1)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.to_thread(server.wait_for_active, 0)
    assert states(shared) == {"main": "closed"}


@pytest.mark.parametrize(
    ("kind", "target", "entry", "tries"),
    [
        ({"attempts": 2}, {}, {}, 2),
        ({"attempts": 2}, {}, {"retries": 2}, 3),
        ({"attempts": 2}, {"attempts": 1}, {"retries": 2}, 1),
    ],
)
async def test_the_entry_holds_before_the_kind_and_the_target_before_both(
    server: ModelServer,
    make_caller: MakeCaller,
    *,
    kind: dict[str, Any],
    target: dict[str, Any],
    entry: dict[str, Any],
    tries: int,
) -> None:
    server.misbehave(fail=1)
    numbers = {"model": {"backoff_s": 0.01, **kind}, "targets": {"model:main": target}}
    caller = make_caller(
        model(server.url, **entry), policies=Policies(ResilienceSettings.model_validate(numbers))
    )
    with pytest.raises(ModelUnavailable):
        await caller.call(ask())
    assert len(server.requests()) == tries


async def test_the_offline_model_has_no_policy(make_caller: MakeCaller) -> None:
    shared = policies()
    assert (await make_caller(Model("offline"), policies=shared).call(ask())).text
    assert shared.status() == []


async def test_other_models_are_used_as_ever_while_one_hangs(
    server: ModelServer, make_caller: MakeCaller
) -> None:
    server.script(*[{**say("late"), "hang_after": 0} for _ in range(5)])
    sick = model(server.url, "sick", first_token_timeout_s=1.5)
    caller = make_caller(sick, Model("offline"))
    hanging = [asyncio.create_task(caller.call(ask("sick"))) for _ in range(5)]
    await asyncio.to_thread(server.wait_for_active, 5)
    answers = await asyncio.gather(*(caller.call(ask("offline")) for _ in range(20)))
    assert all(answer.text for answer in answers)
    assert not any(task.done() for task in hanging)
    for failed in await asyncio.gather(*hanging, return_exceptions=True):
        assert isinstance(failed, Unavailable)


@pytest.mark.parametrize("guard", [{"groups": ["staff"]}, {"compliance_level": "secret"}])
async def test_a_model_that_the_caller_may_not_use_does_not_exist_for_it(
    server: ModelServer, make_caller: MakeCaller, guard: dict[str, Any]
) -> None:
    covered = model(NOWHERE, "covered", fallbacks=["inner"], retries=0)
    caller = make_caller(model(server.url, "inner", **guard), covered)
    ada = Principal("ada")
    with pytest.raises(ModelNotFound, match=r"no model 'inner'; known: covered$"):
        await caller.call(ask("inner", principal=ada))
    with pytest.raises(ModelUnavailable):
        await caller.call(ask("covered", principal=ada))
    assert server.requests() == []
    bob = Principal("bob", frozenset({"staff"}), frozenset({"secret"}))
    assert (await caller.call(ask("covered", principal=bob))).usage.model == "inner"
