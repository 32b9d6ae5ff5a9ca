"""The dashboard and the alert rules ask only for what the service really counts."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

import core
import nodes
from core.observability import REGISTRY

FOLDER = Path(__file__).resolve().parents[4] / "docs" / "operations"
_NAME = re.compile(r"\b(?:waystation|gen_ai_client)_\w+(?=[{\[)]|\s|,|$)")
_SELECTOR = re.compile(r"(\w+)\{([^}]*)\}")
_BY = re.compile(r"by \(([^)]*)\)")
_OURS_TO_SCRAPE = {"job", "instance", "le"}


def metrics() -> dict[str, set[str]]:
    """Every sample's name that the service can have, with its labels; read from declarations, not values."""
    for package in (core, nodes):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if (
                not module.name.endswith(("__main__", ".cli", ".adapters"))
                and ".adapters." not in module.name
            ):
                importlib.import_module(module.name)
    found: dict[str, set[str]] = {}
    for collector, samples in REGISTRY._collector_to_names.items():
        if isinstance(collector, (Counter, Gauge, Histogram)):
            found |= {name: set(collector._labelnames) for name in samples}
    return found


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    return metrics()


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "waystation-dashboard.json").read_text(encoding="utf-8"))
    return found


def rules() -> list[dict[str, Any]]:
    text = (FOLDER / "waystation-alerts.yaml").read_text(encoding="utf-8")
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def queries() -> list[str]:
    """Everything that the two files ask Prometheus."""
    shown = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    variables = [var["definition"] for var in dashboard()["templating"]["list"] if "definition" in var]
    return [*shown, *variables, *(rule["expr"] for rule in rules())]


@pytest.mark.parametrize("query", queries())
def test_every_metric_and_label_that_is_asked_for_exists(query: str, known: dict[str, set[str]]) -> None:
    names = set(_NAME.findall(query))
    assert names
    assert names <= known.keys()
    for name, selector in _SELECTOR.findall(query):
        asked = set(re.findall(r"(\w+)\s*[!=]~?=?\s*\"", selector))
        assert asked <= known[name] | _OURS_TO_SCRAPE, name
    labels = {label.strip() for group in _BY.findall(query) for label in group.split(",")}
    assert labels <= set().union(*(known[name] for name in names)) | _OURS_TO_SCRAPE


def test_no_label_of_any_metric_could_hold_a_user_a_thread_or_a_text(known: dict[str, set[str]]) -> None:
    used = set().union(*known.values())
    assert not used & {
        "user",
        "owner",
        "thread",
        "thread_id",
        "run_id",
        "request_id",
        "message",
        "path",
        "text",
    }


def test_the_dashboard_can_be_imported_and_asks_which_data_source_to_use() -> None:
    whole = dashboard()
    assert (whole["id"], whole["schemaVersion"]) == (None, 41)
    assert whole["templating"]["list"][0]["type"] == "datasource"
    panels = whole["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
            assert target["expr"].count("(") == target["expr"].count(")")


def test_no_two_panels_lie_over_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_every_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"]
    assert len(rule["annotations"]["runbook"]) > 80
    assert rule["expr"].count("(") == rule["expr"].count(")")
