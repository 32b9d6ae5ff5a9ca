"""Modules start in order, within their time, and stop in reverse; an optional one may be missing."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from dishka import AsyncContainer, Provider, Scope, provide
from structlog.testing import capture_logs

from core import lifecycle
from core.cli import make_app
from core.container import build_container
from core.errors import ConfigInvalid, Unavailable
from core.health import Health, healthy
from core.lifecycle import ModuleNotStarted, Phase, StartFailed
from core.registry import Module
from core.settings.platform import ModulesSettings
from core.steps import Step as Declared
from tests.kit.settings import ConfigFolder

Work = Callable[[AsyncContainer], Awaitable[None]]


async def check(_: AsyncContainer) -> Health:
    return healthy()


def module(
    name: str,
    *,
    needs: tuple[str, ...] = (),
    start: Work | None = None,
    stop: Work | None = None,
    seconds: float = 5.0,
    required: bool = False,
    provider: Callable[[], Provider] = lambda: Provider(scope=Scope.APP),
    step: Declared | None = None,
    routes: Callable[[], object] | None = None,
) -> Module:
    return Module(
        name=name,
        summary="",
        version="0.1.0",
        command=name,
        cli=make_app(name, ""),
        provider=provider,
        check=check,
        needs=needs,
        start=start,
        start_seconds=seconds,
        stop=stop,
        required=required,
        step=step,
        routes=routes,
    )


def noting(log: list[str], word: str) -> Work:
    async def work(_: AsyncContainer) -> None:
        log.append(word)

    return work


def failing(error: Exception) -> Work:
    async def work(_: AsyncContainer) -> None:
        raise error

    return work


async def hanging(_: AsyncContainer) -> None:
    await asyncio.Event().wait()


@pytest.fixture
async def container(tmp_path: Path) -> AsyncIterator[AsyncContainer]:
    container = build_container([], ConfigFolder(tmp_path, ()).read()[0])
    yield container
    await container.close()


async def test_modules_start_in_order_and_stop_in_reverse(container: AsyncContainer) -> None:
    log: list[str] = []
    found = [module(n, start=noting(log, f"+{n}"), stop=noting(log, f"-{n}")) for n in ("a", "b", "c")]
    await lifecycle.start(found, container)
    await lifecycle.stop(found, container)
    assert log == ["+a", "+b", "+c", "-c", "-b", "-a"]


async def test_a_stop_that_fails_keeps_no_other_from_stopping(container: AsyncContainer) -> None:
    log: list[str] = []
    found = [module("a", stop=noting(log, "-a")), module("b", stop=failing(RuntimeError("no")))]
    with capture_logs() as lines:
        await lifecycle.stop(found, container)
    assert log == ["-a"]
    assert [line["event"] for line in lines] == ["module_not_stopped"]


async def test_a_start_has_a_deadline(container: AsyncContainer) -> None:
    log: list[str] = []
    found = [module("a", stop=noting(log, "-a")), module("b", start=hanging, seconds=0.05)]
    with pytest.raises(StartFailed, match=r"not ready within 0\.05 s") as caught:
        await lifecycle.start(found, container)
    assert caught.value.name == "b"
    assert log == ["-a"]


async def test_a_required_module_that_fails_stops_the_start_with_its_reason(
    container: AsyncContainer,
) -> None:
    found = [module("a", start=failing(Unavailable("the disk is full")), required=True)]
    with pytest.raises(ModuleNotStarted, match="'a' did not start: the disk is full"):
        await lifecycle.start(found, container)


async def test_a_full_disk_is_no_fault_of_a_module(container: AsyncContainer) -> None:
    full = failing(OSError(errno.ENOSPC, "No space left on device", "/home/ada/x"))
    with capture_logs() as lines, pytest.raises(StartFailed) as caught:
        await lifecycle.start([module("a", start=full)], container)
    assert caught.value.reason == "the disk is full; try again when that is mended"
    assert "module_start_crashed" not in [line["event"] for line in lines]


async def test_an_unforeseen_fault_is_told_without_its_text(container: AsyncContainer) -> None:
    with capture_logs() as lines, pytest.raises(StartFailed, match="RuntimeError") as caught:
        await lifecycle.start([module("a", start=failing(RuntimeError("secret")))], container)
    assert "secret" not in caught.value.reason
    assert "module_start_crashed" in [line["event"] for line in lines]


async def test_a_wrong_configuration_stops_the_start_also_of_an_optional_module(
    container: AsyncContainer,
) -> None:
    with pytest.raises(ConfigInvalid, match=r"models\.yaml:3"):
        await lifecycle.start([module("a", start=failing(ConfigInvalid("models.yaml:3 no")))], container)


def test_what_needs_a_disabled_module_does_not_run_either() -> None:
    found = [module("a"), module("b", needs=("a",)), module("c", needs=("b",)), module("d")]
    states = lifecycle.module_states(found, ModulesSettings(disabled=["a"]))
    assert [m.name for m in lifecycle.running(states)] == ["d"]
    assert [s.phase for s in states] == [Phase.DISABLED] * 3 + [Phase.RUNNING]
    assert states[2].reason == "it needs 'b', which does not run"


def test_a_required_module_cannot_be_switched_off() -> None:
    with pytest.raises(ConfigInvalid, match="no turn works without the module 'a'"):
        lifecycle.module_states([module("a", required=True)], ModulesSettings(disabled=["a"]))
    with pytest.raises(ConfigInvalid, match="'b': it needs 'a'"):
        lifecycle.module_states(
            [module("a"), module("b", needs=("a",), required=True)], ModulesSettings(disabled=["a"])
        )


def test_a_name_that_is_no_module_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigInvalid, match="did you mean 'rag'"):
        lifecycle.module_states([module("rag")], ModulesSettings(disabled=["rga"]))


class Step:
    """A step of the graph that needs something which does not open."""

    def __init__(self, opened: str) -> None:
        self.opened = opened


STEP = Declared("step", f"{__name__}:Step", after="retrieve")


def declared(run: str) -> Declared:
    return Declared("s", run, after="retrieve")


async def test_a_step_whose_services_do_not_open_is_a_module_that_did_not_start(tmp_path: Path) -> None:
    class Hangs(Provider):
        scope = Scope.APP
        step = provide(Step)

        @provide
        async def opened(self) -> str:
            await asyncio.Event().wait()
            return ""

    class Fails(Provider):
        scope = Scope.APP
        step = provide(Step)

        @provide
        def opened(self) -> str:
            raise Unavailable("no licence")

    for services, reason in ((Hangs, r"it was not ready within 0\.05 s"), (Fails, "no licence")):
        found = [module("a", step=STEP, seconds=0.05, provider=services)]
        container = build_container(found, ConfigFolder(tmp_path, ()).read()[0])
        with pytest.raises(StartFailed, match=reason):
            await lifecycle.start(found, container)
        await lifecycle.close(container)


def broken() -> Provider:
    raise RuntimeError("somebody else's fault")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ({"provider": broken}, "it cannot be loaded (RuntimeError); the log has the details"),
        ({"routes": broken}, "it cannot be loaded (RuntimeError); the log has the details"),
        (
            {"step": declared(f"{__name__}:Gone")},
            f"'{__name__}' has no attribute 'Gone'",
        ),
        (
            {"step": declared("no_such_package.node:Step")},
            "No module named 'no_such_package'",
        ),
    ],
)
def test_what_cannot_be_loaded_does_not_run_and_says_why(code: dict[str, Any], reason: str) -> None:
    found = [module("a", **code), module("b"), module("c", needs=("a",))]
    with capture_logs():
        left = lifecycle.module_states(found, ModulesSettings())
        with pytest.raises(ConfigInvalid, match="no turn works without the module 'a': it cannot be loaded"):
            lifecycle.module_states([module("a", required=True, **code)], ModulesSettings())
    assert [state.phase for state in left] == [Phase.FAILED, Phase.RUNNING, Phase.FAILED]
    assert reason in left[0].reason
    assert left[2].reason == "it needs 'a', which does not run"


class First:
    pass


class Second:
    pass


async def test_services_close_in_reverse_order_even_when_one_fails_to_close(tmp_path: Path) -> None:
    closed: list[str] = []

    class Both(Provider):
        scope = Scope.APP

        @provide
        async def first(self) -> AsyncIterator[First]:
            yield First()
            closed.append("first")

        @provide
        async def second(self, first: First) -> AsyncIterator[Second]:
            yield Second()
            closed.append("second")
            raise RuntimeError("does not close")

    container = build_container([], ConfigFolder(tmp_path, ()).read()[0], Both())
    await container.get(Second)
    with capture_logs() as lines:
        await lifecycle.close(container)
    assert closed == ["second", "first"]
    assert [line["event"] for line in lines] == ["service_not_closed"]
