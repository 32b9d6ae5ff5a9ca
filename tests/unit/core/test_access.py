from __future__ import annotations

from dataclasses import dataclass, field

from langgraph.runtime import Runtime

from core.access import Principal, may_use, owns, usable
from core.context import RunContext, context_of


@dataclass(frozen=True)
class Thing:
    enabled: bool = True
    groups: list[str] = field(default_factory=list)


ADA = Principal("ada", frozenset({"staff", "research"}))
BOB = Principal("bob")


def test_no_groups_means_everyone() -> None:
    assert may_use(BOB, Thing())


def test_any_of_several_groups_is_enough() -> None:
    assert may_use(ADA, Thing(groups=["finance", "research"]))
    assert not may_use(BOB, Thing(groups=["finance", "research"]))


def test_what_is_switched_off_is_open_to_nobody() -> None:
    assert not may_use(ADA, Thing(enabled=False, groups=["staff"]))


def test_usable_keeps_the_order_of_the_configuration() -> None:
    things = {"z": Thing(), "b": Thing(groups=["other"]), "a": Thing(groups=["staff"])}
    assert list(usable(ADA, things)) == ["z", "a"]


def test_an_object_belongs_to_its_owner_alone() -> None:
    assert owns(ADA, "ada")
    assert not owns(BOB, "ada")


def test_a_run_context_knows_its_principal() -> None:
    assert RunContext(user="ada", groups=["staff", "research"]).principal == ADA


def test_a_runtime_without_a_context_has_the_defaults() -> None:
    assert context_of(Runtime()) == RunContext()
    ada = RunContext(user="ada")
    assert context_of(Runtime(context=ada)) is ada
