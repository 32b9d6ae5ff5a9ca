"""The table of steps of the modules, on nodes of a test's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.registry import discover
from core.settings.book import Editions
from core.settings.platform import LimitSettings
from core.steps import Step
from graph.flow.nodes import node_of
from graph.flow.routing import AfterModel
from graph.flow.steps import Steps, declared_by, placed

FIVE = ("lookup_config", "retrieve", "call_model", "execute_tools", "store_files")
"""The steps of every turn, by the names that threads have in their checkpoints."""


def steps_with(nodes: Mapping[str, Any], *own: Step) -> Steps:
    """The steps of the modules on these nodes, with further ones of the test's own."""
    declared = [*declared_by(discover()), *own]
    return placed(declared, declared, lambda step: nodes.get(step.name) or node_of(step.run))


def after_model(**limits: int) -> AfterModel:
    return AfterModel(Editions.fixed(LimitSettings(**limits)))
