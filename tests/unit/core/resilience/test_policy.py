from __future__ import annotations

import asyncio

import pytest

from core.errors import TimedOut
from core.resilience import BreakerOpen, PolicyTimeout, TooBusy
from tests.unit.core.resilience.dependency import Dependency, Down, Limited, Refusing, Service, fail


class OwnTimeout(TimedOut):
    """The error that a module has for it."""


@pytest.fixture
def service() -> Service:
    return Service(attempts=3)


@pytest.fixture
def dependency() -> Dependency:
    return Dependency()


async def seconds() -> float:
    return asyncio.get_running_loop().time()


async def test_a_hang_costs_the_timeout_once_whatever_the_number_of_tries(
    service: Service, dependency: Dependency
) -> None:
    dependency.hold = True
    began = await seconds()
    with pytest.raises(PolicyTimeout, match=r"the dependency 'x' did not answer within 0\.1 s"):
        await service.policy().call(dependency, timeout_s=0.1)
    assert 0.1 <= await seconds() - began < 0.5
    assert dependency.calls == 1


async def test_hanging_calls_open_the_breaker_and_cost_nothing_from_then_on(
    service: Service, dependency: Dependency
) -> None:
    dependency.hold = True
    policy = service.policy()
    hung = [policy.call(dependency, timeout_s=0.05) for _ in range(5)]
    errors = await asyncio.gather(*hung, return_exceptions=True)
    assert {type(error) for error in errors} == {PolicyTimeout}
    with pytest.raises(BreakerOpen):
        await policy.call(dependency)


async def test_a_caller_may_bring_his_own_error_for_too_late(
    service: Service, dependency: Dependency
) -> None:
    dependency.hold = True
    with pytest.raises(OwnTimeout, match=r"after 0\.02 s"):
        await service.policy().call(dependency, timeout_s=0.02, late=lambda s: OwnTimeout(f"after {s:g} s"))


async def test_a_timeout_inside_the_call_stays_what_it_is(service: Service) -> None:
    async def raises() -> None:
        raise TimeoutError("of a library")

    with pytest.raises(TimeoutError, match="of a library"):
        await service.policy().call(raises)
    assert service.policies.status()[0].calls == 0


async def test_a_failed_try_is_made_again_until_it_works(service: Service) -> None:
    tries = iter([Down(), Down(), None])

    async def flaky() -> str:
        error = next(tries)
        if error:
            raise error
        return "done"

    assert await service.policy().call(flaky) == "done"
    status = service.policies.status()[0]
    assert (status.failures, status.calls) == (2, 3)


async def test_the_last_error_is_raised_when_all_tries_fail(service: Service, dependency: Dependency) -> None:
    dependency.error = lambda: Down(f"try {dependency.calls}")
    with pytest.raises(Down, match="try 3"):
        await service.policy().call(dependency)
    assert dependency.calls == 3


async def test_what_must_not_happen_twice_is_tried_once(service: Service, dependency: Dependency) -> None:
    dependency.error = Down
    with pytest.raises(Down):
        await service.policy().call(dependency, retry=False)
    assert dependency.calls == 1


async def test_a_caller_decides_which_errors_may_be_tried_again(
    service: Service, dependency: Dependency
) -> None:
    dependency.error = lambda: Down("sent" if dependency.calls == 2 else "not sent")
    with pytest.raises(Down, match=r"^sent"):
        await service.policy().call(dependency, retry=lambda error: error.detail == "not sent")
    assert dependency.calls == 2


@pytest.mark.parametrize("error", [Refusing, OwnTimeout])
async def test_refusals_and_timeouts_are_not_tried_again(
    error: type[Exception], service: Service, dependency: Dependency
) -> None:
    dependency.error = error
    with pytest.raises(error):
        await service.policy().call(dependency)
    assert dependency.calls == 1


async def test_retry_after_is_waited_for(service: Service) -> None:
    tries: list[float] = []

    async def limited() -> int:
        tries.append(await seconds())
        if len(tries) == 1:
            raise Limited(0.1)
        return len(tries)

    assert await service.policy().call(limited) == 2
    assert tries[1] - tries[0] >= 0.1


async def test_a_retry_after_beyond_the_longest_pause_ends_the_tries(
    service: Service, dependency: Dependency
) -> None:
    dependency.error = lambda: Limited(9)
    with pytest.raises(Limited):
        await service.policy().call(dependency)
    assert dependency.calls == 1


async def test_a_pause_beyond_the_callers_time_is_not_begun(service: Service, dependency: Dependency) -> None:
    dependency.error = lambda: Limited(1)
    began = await seconds()
    with pytest.raises(Limited):
        await service.policy().call(dependency, timeout_s=0.5)
    assert await seconds() - began < 0.4


async def test_nothing_is_tried_again_once_the_breaker_is_open(
    service: Service, dependency: Dependency
) -> None:
    policy = service.policy()
    await fail(policy, 4)
    dependency.error = Down
    with pytest.raises(Down):
        await policy.call(dependency)
    assert (dependency.calls, service.state()) == (1, "open")


async def test_a_dead_end_is_not_tried_again(service: Service) -> None:
    class Broken(Down):
        retryable = False

    calls: list[int] = []

    async def broken() -> None:
        calls.append(1)
        raise Broken

    with pytest.raises(Broken):
        await service.policy().call(broken)
    assert calls == [1]


async def test_more_callers_than_places_wait_and_more_than_that_are_refused(dependency: Dependency) -> None:
    service = Service(at_once=2, queue=1)
    policy = service.policy()
    dependency.hold = True
    callers = [asyncio.create_task(policy.call(dependency)) for _ in range(4)]
    (refused,), _ = await asyncio.wait(callers, return_when=asyncio.FIRST_COMPLETED)
    with pytest.raises(TooBusy, match="the dependency 'x' has too many calls going"):
        await refused
    assert dependency.calls == 2
    dependency.go.set()
    others = await asyncio.gather(*(caller for caller in callers if caller is not refused))
    assert len(others) == 3
    assert service.policies.status()[0].calls == 3


async def test_a_wait_for_a_place_ends_with_the_callers_time_and_is_no_failure(
    dependency: Dependency,
) -> None:
    service = Service(at_once=1)
    policy = service.policy()
    dependency.hold = True
    first = asyncio.create_task(policy.call(dependency))
    await dependency.reached.wait()
    with pytest.raises(TooBusy):
        await policy.call(dependency, timeout_s=0.05)
    assert service.policies.status()[0].calls == 0
    dependency.go.set()
    assert await first == 1


async def test_callers_who_leave_give_their_places_on(dependency: Dependency) -> None:
    policy = Service(at_once=1, queue=5).policy()
    dependency.hold = True
    going = asyncio.create_task(policy.call(dependency))
    await dependency.reached.wait()
    waiting = [asyncio.create_task(policy.call(dependency)) for _ in range(2)]
    await asyncio.sleep(0)
    for caller in (going, waiting[0]):
        caller.cancel()
    dependency.go.set()
    assert await waiting[1] == 2
    dependency.hold = False
    assert await policy.call(dependency, timeout_s=1) == 3


async def test_who_waited_for_a_place_meets_the_open_breaker(dependency: Dependency) -> None:
    service = Service(at_once=1, in_a_row=1)
    policy = service.policy()
    dependency.hold, dependency.error = True, Down
    callers = [asyncio.create_task(policy.call(dependency)) for _ in range(2)]
    await dependency.reached.wait()
    dependency.go.set()
    errors = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(error) for error in errors] == [Down, BreakerOpen]
