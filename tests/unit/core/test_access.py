from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from langgraph.runtime import Runtime, ServerInfo

from core.access import (
    Principal,
    RunContext,
    ScopeMissing,
    context_of,
    has_scope,
    may_use,
    owner_seen_by,
    owns,
    require,
    usable,
)
from core.observability import REGISTRY
from graph.studio.auth import principal_of, user_of


@dataclass(frozen=True)
class Thing:
    enabled: bool = True
    groups: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Secret(Thing):
    """A thing with a level, as entries of the configuration have it."""

    compliance_level: str | None = "secret"


@dataclass(frozen=True)
class Levelled(Thing):
    """The same under its other name."""

    level: str = "secret"


class StudioUser(dict[str, object]):
    """A user as the development server hands it over: keys are attributes too."""

    def __getattr__(self, name: str) -> object:
        if name in self:
            return self[name]
        raise AttributeError(name)


ADA = Principal("ada", frozenset({"staff", "research"}))
BOB = Principal("bob")


def test_no_groups_means_everyone() -> None:
    assert may_use(BOB, Thing())


def test_any_of_several_groups_is_enough() -> None:
    assert may_use(ADA, Thing(groups=["finance", "research"]))
    assert not may_use(BOB, Thing(groups=["finance", "research"]))


def test_what_is_switched_off_is_open_to_nobody() -> None:
    assert not may_use(ADA, Thing(enabled=False, groups=["staff"]))


@pytest.mark.parametrize("thing", [Secret(), Levelled()])
def test_a_level_opens_only_to_those_who_have_it(thing: Thing) -> None:
    assert not may_use(Principal("eve", levels=frozenset({"internal"})), thing)
    assert may_use(Principal("eve", levels=frozenset({"secret"})), thing)
    assert may_use(Principal("eve", levels=frozenset({"*"})), thing)


@pytest.mark.parametrize(
    "thing", [Secret(compliance_level=""), Secret(compliance_level=None), Levelled(level="")]
)
def test_an_empty_level_means_everyone(thing: Thing) -> None:
    assert may_use(BOB, thing)


def test_a_level_does_not_open_what_belongs_to_a_group() -> None:
    assert not may_use(Principal("eve", levels=frozenset({"*"})), Secret(groups=["staff"]))
    assert not may_use(ADA, Secret(groups=["staff"]))


def test_a_scope_covers_itself_and_the_star_covers_all() -> None:
    operator, root = Principal("o", scopes=frozenset({"operate"})), Principal("r", scopes=frozenset({"*"}))
    assert has_scope(operator, "operate")
    assert not has_scope(operator, "use")
    require(root, "admin")
    with pytest.raises(ScopeMissing, match="'use'"):
        require(BOB, "use")


def test_every_decision_is_counted_and_names_nobody() -> None:
    def counted(question: str, answer: str) -> float:
        labels = {"question": question, "answer": answer}
        return REGISTRY.get_sample_value("waystation_access_decisions_total", labels) or 0

    before = [counted("use", "no"), counted("own", "yes"), counted("own", "filter")]
    may_use(BOB, Thing(groups=["staff"]))
    owns(BOB, "bob")
    assert owner_seen_by(BOB) == "bob"
    after = [counted("use", "no"), counted("own", "yes"), counted("own", "filter")]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 1]


def test_usable_keeps_the_order_of_the_configuration() -> None:
    things = {"z": Thing(), "b": Thing(groups=["other"]), "a": Thing(groups=["staff"])}
    assert list(usable(ADA, things)) == ["z", "a"]


def test_an_object_belongs_to_its_owner_alone() -> None:
    assert owns(ADA, "ada")
    assert not owns(BOB, "ada")


def test_a_run_context_knows_its_principal() -> None:
    assert RunContext(user="ada", groups=["staff", "research"]).principal == ADA
    assert RunContext(levels=["secret"]).principal.levels == {"secret"}


def test_a_runtime_without_a_context_has_the_defaults() -> None:
    assert context_of(Runtime()) == RunContext()
    ada = RunContext(user="ada")
    assert context_of(Runtime(context=ada)) is ada


def test_who_logged_in_to_the_development_server_is_the_principal_and_not_the_form() -> None:
    eve = Principal("eve", frozenset({"staff"}), frozenset({"secret"}), frozenset({"use"}))
    user = StudioUser(user_of(eve))
    form = RunContext(user="root", groups=["all"], levels=["*"], model="inner")
    runtime: Runtime[RunContext] = Runtime(context=form, server_info=ServerInfo("a", "g", user))  # type: ignore[arg-type]  # what counts is its attributes
    found = context_of(runtime)
    assert found == RunContext(user="eve", groups=["staff"], levels=["secret"], model="inner")
    assert principal_of(user) == eve


def test_where_nobody_logs_in_the_form_says_who_asks() -> None:
    form = RunContext(user="ada")
    nobody = StudioUser(identity="", is_authenticated=False)
    for info in (None, ServerInfo("a", "g"), ServerInfo("a", "g", nobody)):  # type: ignore[arg-type]  # as above
        assert context_of(Runtime(context=form, server_info=info)) is form
