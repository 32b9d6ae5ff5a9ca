"""Who answers, who executes, and what a worker takes up, by the settings."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from core.settings.platform import ServerSettings
from core.settings.roles import Duty, RoleSettings, runs_tasks, without_effect


@pytest.mark.parametrize(
    ("settings", "looks_after", "hands_over", "tasks", "answers"),
    [
        ({}, True, False, True, True),
        ({"role": "api"}, False, True, False, True),
        ({"role": "worker"}, True, False, True, False),
        ({"role": "worker", "executes": ["runs"]}, True, False, False, False),
        ({"role": "worker", "executes": ["tasks"]}, False, True, True, False),
        ({"role": "api", "executes": ["runs", "tasks"]}, False, True, False, True),
    ],
)
def test_a_role_says_what_a_process_does(
    settings: dict[str, object], *, looks_after: bool, hands_over: bool, tasks: bool, answers: bool
) -> None:
    read = ServerSettings.model_validate(settings)
    duty = Duty.of(read, serves=True)
    assert (duty.looks_after, duty.hands_over, duty.answers) == (looks_after, hands_over, answers)
    assert runs_tasks(read) is tasks


@pytest.mark.parametrize(
    ("settings", "idle"),
    [
        ({}, {"executes"}),
        ({"role": "api"}, {"executes", "runs_at_once", "tags"}),
        ({"role": "worker"}, set()),
        ({"role": "worker", "executes": ["tasks"]}, {"runs_at_once", "tags"}),
    ],
)
def test_what_changes_nothing_in_a_role_is_known(settings: dict[str, object], idle: set[str]) -> None:
    found, why = without_effect(ServerSettings.model_validate(settings))
    assert found == idle
    assert bool(why) == bool(idle)


def test_a_command_executes_what_it_begins_whatever_the_role_of_the_service() -> None:
    duty = Duty.of(RoleSettings(role="api"), serves=False)
    assert (duty.looks_after, duty.hands_over, duty.answers) == (False, False, True)


def test_the_first_entry_that_fits_gives_a_run_its_tag() -> None:
    duty = Duty.of(
        RoleSettings(run_tags={"big": "gpu", "group:batch": "slow", "plain": "default"}), serves=True
    )
    assert duty.tag_of("big", ["batch"]) == "gpu"
    assert duty.tag_of("other", ["staff", "batch"]) == "slow"
    assert duty.tag_of("plain", []) == ""
    assert duty.tag_of("", []) == ""
    assert Duty().tag_of("big", []) == ""


def test_a_worker_takes_all_runs_or_those_of_its_tags() -> None:
    assert Duty.of(RoleSettings(), serves=True).columns is None
    assert Duty.of(RoleSettings(tags=["gpu", "default"]), serves=True).columns == ["", "gpu"]


@pytest.mark.parametrize(
    "wrong", [{"role": "boss"}, {"executes": []}, {"tags": ["two words"]}, {"runs_at_once": 0}]
)
def test_a_role_that_is_none_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ServerSettings.model_validate(wrong)
