from __future__ import annotations

import asyncio

import pytest

from core.errors import NotFound
from core.observability import REGISTRY, metrics_text
from core.resilience import BreakerClosed, BreakerOpen, BreakerOpened, ResilienceSettings
from tests.unit.core.resilience.dependency import (
    OPEN_S,
    Dependency,
    Down,
    Limited,
    Refusing,
    Service,
    fail,
    until_probed,
)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def dependency() -> Dependency:
    return Dependency()


@pytest.fixture
def quick() -> Service:
    """One whose open breakers try again soon."""
    return Service(open_s=OPEN_S)


async def test_five_failures_in_a_row_open_it_and_no_call_leaves_us(
    service: Service, dependency: Dependency
) -> None:
    policy = service.policy()
    await fail(policy, 5)
    with pytest.raises(BreakerOpen) as refused:
        await policy.call(dependency)
    assert dependency.calls == 0
    assert 0 < refused.value.retry_after <= 60
    assert refused.value.detail.startswith("the dependency 'x' failed too often (5 of 5 calls failed, ")


async def test_sixty_percent_failures_open_it_within_ten_calls(
    service: Service, dependency: Dependency
) -> None:
    policy = service.policy()
    for number in range(10):
        assert service.state() == "closed"
        dependency.error = Down if number % 5 < 3 else None
        await asyncio.gather(policy.call(dependency), return_exceptions=True)
    status = service.policies.status()[0]
    assert (status.state, status.failures, status.calls) == ("open", 6, 10)


async def test_only_the_latest_calls_count(service: Service, dependency: Dependency) -> None:
    policy = service.policy()
    for number in range(40):  # four failures, then successes, then seven failures among the latest sixteen
        dependency.error = Down if number < 4 or (number >= 26 and number % 2) else None
        await asyncio.gather(policy.call(dependency), return_exceptions=True)
        status = service.policies.status()[0]
        assert status.calls == min(number + 1, 16)
    assert (status.state, status.failures) == ("closed", 7)
    dependency.error = Down
    await fail(policy, 1)
    assert service.policies.status()[0].state == "open"


async def test_one_failure_in_ten_opens_nothing(service: Service, dependency: Dependency) -> None:
    policy = service.policy()
    for number in range(60):
        dependency.error = Down if number % 10 == 0 else None
        await asyncio.gather(policy.call(dependency), return_exceptions=True)
    assert service.state() == "closed"


async def test_of_ten_callers_exactly_one_probes_and_the_others_do_not_wait(
    quick: Service, dependency: Dependency
) -> None:
    policy = quick.policy()
    await fail(policy, 5)
    await asyncio.sleep(OPEN_S)
    dependency.hold = True
    callers = [asyncio.create_task(policy.call(dependency)) for _ in range(10)]
    done, (probe,) = await asyncio.wait(callers, return_when=asyncio.FIRST_COMPLETED)
    assert [type(caller.exception()) for caller in done] == [BreakerOpen] * 9
    assert dependency.calls == 1
    assert quick.state() == "half_open"
    dependency.go.set()
    assert await probe == 1
    assert quick.state() == "closed"


async def test_it_closes_at_the_first_success_and_says_each_once(
    quick: Service, dependency: Dependency
) -> None:
    policy = quick.policy()
    await fail(policy, 5)
    await asyncio.sleep(OPEN_S)
    await fail(policy, 1)
    assert quick.state() == "open"
    assert quick.policies.status()[0].reason.startswith("1 of 1 calls failed")
    assert await until_probed(policy, dependency) == 1
    assert [await policy.call(dependency) for _ in range(3)] == [2, 3, 4]
    opened, closed = quick.events
    assert isinstance(opened, BreakerOpened)
    assert opened.details() == {
        "kind": "other",
        "name": "x",
        "reason": "5 of 5 calls failed, the last with unavailable",
    }
    assert isinstance(closed, BreakerClosed)
    assert closed.details() == {"kind": "other", "name": "x"}


async def test_a_cancelled_probe_gives_its_turn_to_the_next_caller(
    quick: Service, dependency: Dependency
) -> None:
    policy = quick.policy()
    await fail(policy, 5)
    await asyncio.sleep(OPEN_S)
    dependency.hold = True
    probe = asyncio.create_task(policy.call(dependency))
    await dependency.reached.wait()
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert quick.state() == "half_open"
    dependency.hold = False
    assert await policy.call(dependency) == 2
    assert quick.state() == "closed"


async def test_a_caller_who_leaves_is_no_failure(service: Service, dependency: Dependency) -> None:
    policy = service.policy()
    dependency.hold = True
    for _ in range(20):
        dependency.reached.clear()
        caller = asyncio.create_task(policy.call(dependency))
        await dependency.reached.wait()
        caller.cancel()
        await asyncio.wait([caller])
    status = service.policies.status()[0]
    assert (status.state, status.calls) == ("closed", 0)


@pytest.mark.parametrize("error", [Refusing, lambda: Limited(99.0), lambda: ValueError("a bug")])
async def test_refusals_limits_and_bugs_never_open_it(
    error: type[Exception], service: Service, dependency: Dependency
) -> None:
    policy = service.policy()
    dependency.error = error
    for _ in range(20):
        await asyncio.gather(policy.call(dependency), return_exceptions=True)
    assert (service.state(), dependency.calls) == ("closed", 20)


async def test_a_refusal_proves_that_the_target_lives(quick: Service, dependency: Dependency) -> None:
    policy = quick.policy()
    await fail(policy, 5)
    await asyncio.sleep(OPEN_S)
    dependency.error = Refusing
    with pytest.raises(Refusing):
        await policy.call(dependency)
    assert quick.state() == "closed"


async def test_a_limited_probe_decides_nothing(quick: Service, dependency: Dependency) -> None:
    policy = quick.policy()
    await fail(policy, 5)
    await asyncio.sleep(OPEN_S)
    dependency.error = lambda: Limited(99.0)
    with pytest.raises(Limited):
        await policy.call(dependency)
    assert quick.state() == "half_open"


async def test_calls_that_hung_since_before_it_opened_do_not_open_it_again(
    quick: Service, dependency: Dependency
) -> None:
    policy = quick.policy()
    dependency.hold, dependency.error = True, Down
    hanging = [asyncio.create_task(policy.call(dependency)) for _ in range(10)]
    await dependency.reached.wait()
    await fail(policy, 5)
    assert await until_probed(policy, Dependency()) == 1
    dependency.go.set()
    await asyncio.wait(hanging)
    status = quick.policies.status()[0]
    assert (status.state, status.calls) == ("closed", 0)


async def test_other_targets_and_other_kinds_are_unaffected(service: Service, dependency: Dependency) -> None:
    await fail(service.policy("x"), 5)
    assert service.state("x") == "open"
    assert await service.policy("y").call(dependency) == 1
    assert await service.policies.of("model", "x").call(dependency) == 2


async def test_an_operator_can_reset_it(service: Service, dependency: Dependency) -> None:
    policy = service.policy()
    await fail(policy, 5)
    await service.policies.reset("other", "x")
    assert await policy.call(dependency) == 1
    assert isinstance(service.events[-1], BreakerClosed)
    with pytest.raises(NotFound, match="no target 'other:y'; known: other:x"):
        await service.policies.reset("other", "y")


async def test_a_target_that_is_no_longer_configured_is_forgotten(dependency: Dependency) -> None:
    service = Service()
    for name in ("forgotten", "kept"):
        await fail(service.policy(name), 5)
    before = service.policy("forgotten")
    service.policies.of("server", "forgotten")
    service.policies.retain("other", {"kept", "to come"})
    assert [(target.kind, target.name) for target in service.policies.status()] == [
        ("other", "kept"),
        ("server", "forgotten"),
    ]
    (closed,) = [event for event in service.events if isinstance(event, BreakerClosed)]
    assert closed.name == "forgotten"
    assert gauge("forgotten") is None
    assert gauge("kept") == 2
    # Who still holds the policy is answered as before, and nobody is told.
    with pytest.raises(BreakerOpen):
        await before.call(dependency)
    assert await service.policy("forgotten").call(dependency) == 1
    assert gauge("forgotten") == 0


async def test_a_call_that_outlives_its_target_tells_nobody(service: Service, dependency: Dependency) -> None:
    policy = service.policy()
    dependency.hold, dependency.error = True, Down
    calls = [asyncio.create_task(policy.call(dependency)) for _ in range(5)]
    await dependency.reached.wait()
    service.policies.retain("other", ())
    dependency.go.set()
    assert all(isinstance(found, Down) for found in await asyncio.gather(*calls, return_exceptions=True))
    assert (service.events, gauge("x")) == ([], None)


def gauge(name: str) -> float | None:
    return REGISTRY.get_sample_value("waystation_breaker_state", {"kind": "other", "name": name})


async def test_changed_numbers_keep_the_breaker(service: Service, dependency: Dependency) -> None:
    before = service.policies.of("other", "x", timeout_s=3)
    await fail(before, 5)
    after = service.policies.of("other", "x", timeout_s=4, attempts=2)
    assert (after.settings.timeout_s, after.settings.attempts) == (4, 2)
    assert service.policies.of("other", "x", timeout_s=3) is before
    with pytest.raises(BreakerOpen):
        await after.call(dependency)


async def test_the_default_numbers_open_it_for_a_single_user_in_a_handful_of_calls() -> None:
    defaults = ResilienceSettings().model
    assert (defaults.in_a_row, defaults.min_calls, defaults.failure_rate, defaults.open_s) == (5, 10, 0.5, 5)


async def test_state_and_outcomes_are_metrics(dependency: Dependency) -> None:
    service = Service(attempts=2)
    policy = service.policy("measured")
    dependency.error = Down
    with pytest.raises(Down):
        await policy.call(dependency)
    await fail(policy, 5)
    text = metrics_text().decode()
    assert 'waystation_breaker_state{kind="other",name="measured"} 2.0' in text
    labels = 'kind="other",name="measured"'
    assert f'waystation_dependency_calls_total{{{labels},outcome="failed"}} 5.0' in text
    assert f'waystation_dependency_calls_total{{{labels},outcome="open"}} 2.0' in text
    assert f"waystation_dependency_retries_total{{{labels}}} 1.0" in text


async def test_news_of_a_target_make_the_next_call_the_probe(
    service: Service, dependency: Dependency
) -> None:
    policy = service.policy()
    service.policies.hurry("other", "nobody")
    service.policies.hurry("other", "x")
    await fail(policy, 5)
    assert service.state() == "open"
    service.policies.hurry("other", "x")
    assert await policy.call(dependency) == 1
    assert service.state() == "closed"


async def test_after_news_that_were_wrong_it_is_left_alone_as_before_and_is_open_since_then(
    service: Service, dependency: Dependency
) -> None:
    policy = service.policy()
    await fail(policy, 5)
    since = service.policies.status()[0].since
    service.policies.hurry("other", "x")
    await fail(policy, 1)
    with pytest.raises(BreakerOpen):
        await policy.call(dependency)
    assert dependency.calls == 0
    assert service.policies.status()[0].since == since
