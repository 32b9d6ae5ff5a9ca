"""What `deploy/` holds fits Waystation as it is, and those who read it take it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate  # type: ignore[import-untyped]  # ships no types
import pytest
import yaml

from core.installed import ROOT
from core.registry import discover, files_of, sections_of
from core.settings import Context, Places
from core.settings.book import inspect_book
from core.settings.platform import ServerSettings

KIT = ROOT / "deploy"
KUBERNETES_VERSION = "1.35"


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((KIT / "kubernetes/waystation.yaml").read_text()))


def manifest(kind: str) -> Any:
    [found] = [one for one in manifests() if one["kind"] == kind]
    return found


def problems_of(environ: Mapping[str, str], config: Path) -> list[str]:
    modules = discover()
    context = Context(Places(config, config / "home"), environ, {})
    _, problems = inspect_book(sections_of(modules), files_of(modules), context)
    return [str(problem) for problem in problems]


def compose() -> Any:
    return yaml.safe_load((KIT / "compose/compose.yaml").read_text())


def test_compose_sets_what_the_service_reads(tmp_path: Path) -> None:
    said = compose()["services"]["waystation"]["environment"]
    environ = {
        name: re.sub(r"\$\{\w+:([-?])([^}]*)\}", lambda found: found[2] or "0" * 64, str(value))
        for name, value in said.items()
    }
    assert problems_of(environ, tmp_path) == []


def test_compose_names_each_secret_in_its_example() -> None:
    wanted = set(re.findall(r"\$\{(\w+):", (KIT / "compose/compose.yaml").read_text()))
    example = (KIT / "compose/secrets.example").read_text()
    assert wanted == set(re.findall(r"^(\w+)=", example, re.MULTILINE))


@pytest.mark.parametrize("found", manifests(), ids=lambda found: found["kind"])
def test_kubernetes_takes_each_manifest(found: dict[str, Any]) -> None:
    kubernetes_validate.validate(found, KUBERNETES_VERSION, strict=True)


def test_the_map_of_kubernetes_is_a_configuration(tmp_path: Path) -> None:
    for name, text in manifest("ConfigMap")["data"].items():
        (tmp_path / name).write_text(text)
    environ = {
        "WAYSTATION_STORAGE__URL": "postgresql://waystation@postgres/waystation",
        "WAYSTATION_FILE_STORAGE__LINK_SECRET": "0" * 64,
        "WAYSTATION_SERVER__HOST": "0.0.0.0",  # noqa: S104 - as the image has it; nothing listens
    }
    assert problems_of(environ, tmp_path) == []


def test_kubernetes_lets_out_what_the_documented_settings_reach() -> None:
    said = (ROOT / "docs/kubernetes.md").read_text() + manifest("ConfigMap")["data"]["waystation.yaml"]
    usual = {"postgresql": 5432, "http": 80, "https": 443}
    urls = re.findall(r"(?:WAYSTATION_STORAGE__URL='|OPENAI_BASE_URL=|endpoint_url: )([^'\s]+)", said)
    reached = {urlsplit(url).port or usual[urlsplit(url).scheme] for url in urls}
    assert reached == {5432, 80, 9000}
    for policy in (manifest("NetworkPolicy"), workers()[-1]):
        assert reached < {rule["port"] for way in policy["spec"]["egress"] for rule in way["ports"]}


def test_the_home_in_kubernetes_is_made_by_its_user_within_a_volume() -> None:
    """A volume itself is open to everybody, and said to be so by the health of the home."""
    for deployment in (manifest("Deployment"), workers()[0]):
        [box] = deployment["spec"]["template"]["spec"]["containers"]
        [home] = [Path(each["value"]) for each in box["env"] if each["name"] == "WAYSTATION_HOME"]
        assert str(home.parent) in {each["mountPath"] for each in box["volumeMounts"]}


@pytest.mark.parametrize("folder", ["kubernetes", "kubernetes-roles"])
def test_kustomize_makes_of_it_what_kubernetes_takes(folder: str) -> None:
    if (kubectl := shutil.which("kubectl")) is None:
        pytest.skip("kubectl is missing, so nobody here puts the manifests together")
    words = [kubectl, "kustomize", str(KIT / folder)]
    made = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout
    for found in yaml.safe_load_all(made):
        kubernetes_validate.validate(found, KUBERNETES_VERSION, strict=True)


def test_every_manager_of_services_waits_longer_than_a_process_takes_to_end() -> None:
    plain = ServerSettings()
    least = plain.drain_seconds + plain.stop_seconds + 5
    drain = yaml.safe_load(manifest("ConfigMap")["data"]["waystation.yaml"])["server"]["drain_seconds"]
    in_kubernetes = least - plain.drain_seconds + drain
    pause = 5
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= in_kubernetes + pause
    [worker] = [found for found in workers() if found["kind"] == "Deployment"]
    assert worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= in_kubernetes
    for unit in (KIT / "systemd").glob("*.service"):
        [line] = [line for line in unit.read_text().splitlines() if line.startswith("TimeoutStopSec=")]
        assert float(line.partition("=")[2]) >= least
    compose = yaml.safe_load((KIT / "compose/compose.yaml").read_text())
    graces = [part.get("stop_grace_period", "") for part in compose["services"].values()]
    assert any(graces)
    assert all(float(grace.removesuffix("s")) >= least for grace in graces if grace)


def test_kubernetes_scales_by_a_metric_that_the_service_has() -> None:
    [metric] = manifest("HorizontalPodAutoscaler")["spec"]["metrics"]
    named = metric["pods"]["metric"]["name"]
    assert f"`{named}`" in (ROOT / "docs/observability.md").read_text()


def workers() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((KIT / "kubernetes-roles/workers.yaml").read_text()))


@pytest.mark.parametrize("found", workers(), ids=lambda found: found["kind"])
def test_kubernetes_takes_each_manifest_of_workers(found: dict[str, Any]) -> None:
    kubernetes_validate.validate(found, KUBERNETES_VERSION, strict=True)


def test_workers_in_kubernetes_are_the_same_as_who_answers_but_for_their_role(tmp_path: Path) -> None:
    answers, works = manifest("Deployment"), workers()[0]
    pods = [each["spec"]["template"]["spec"] for each in (answers, works)]
    boxes = [pod["containers"][0] for pod in pods]
    for name in ("image", "securityContext", "volumeMounts", "envFrom", "readinessProbe"):
        assert boxes[0][name] == boxes[1][name], name
    assert pods[0]["volumes"] == pods[1]["volumes"]
    given = {each["name"]: each["value"] for each in boxes[1]["env"]}
    assert given.pop("WAYSTATION_CONFIG_DIR") == "/etc/waystation"
    assert given.pop("WAYSTATION_HOME") == "/data/home"
    environ = {**given, "WAYSTATION_STORAGE__URL": "postgresql://waystation@postgres/waystation"}
    assert given["WAYSTATION_SERVER__ROLE"] == "worker"
    assert problems_of(environ, tmp_path) == []
    kinds = {each["kind"] for each in workers()}
    assert {"PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy"} < kinds


def test_the_patches_of_the_roles_meet_what_they_change() -> None:
    kustomization = yaml.safe_load((KIT / "kubernetes-roles/kustomization.yaml").read_text())
    for patch in kustomization["patches"]:
        found: Any = manifest(patch["target"]["kind"])
        assert found["metadata"]["name"] == patch["target"]["name"]
        for change in yaml.safe_load(patch["patch"]):
            place = found
            for key in change["path"].strip("/").split("/")[:-1]:
                place = place[int(key) if isinstance(place, list) else key]
            assert place
    role = yaml.safe_load(kustomization["patches"][0]["patch"])[0]["value"]
    assert role == {"name": "WAYSTATION_SERVER__ROLE", "value": "api"}


def test_compose_gives_each_role_its_settings(tmp_path: Path) -> None:
    roles = yaml.safe_load((KIT / "compose/roles.yaml").read_text())["services"]
    assert roles["worker"]["extends"] == {"file": "compose.yaml", "service": "waystation"}
    for name, role in (("waystation", "api"), ("worker", "worker")):
        environ = {key: str(value) for key, value in roles[name]["environment"].items()}
        assert environ["WAYSTATION_SERVER__ROLE"] == role
        assert problems_of(environ, tmp_path) == []


def instructions() -> Iterator[tuple[str, str]]:
    text = (KIT / "image/Dockerfile").read_text()
    joined = re.sub(r"\\\n\s*", "", "\n".join(line for line in text.split("\n") if not line.startswith("#")))
    for line in filter(None, joined.split("\n")):
        word, _, rest = line.partition(" ")
        yield word, rest


def test_the_image_runs_as_nobody_special_and_says_how_it_is() -> None:
    said = list(instructions())
    assert ("USER", "10001:10001") in said
    assert [rest for word, rest in said if word == "CMD"] == ['["waystation", "serve"]']
    assert any(word == "HEALTHCHECK" and "/health/ready" in rest for word, rest in said)


def test_the_lock_of_the_image_agrees_with_the_one_that_tests_run_on() -> None:
    def pins(path: Path) -> set[str]:
        return set(re.findall(r"^[\w.\[\],-]+==[^\s;\\]+", path.read_text(), re.MULTILINE))

    image = pins(KIT / "image/requirements.lock")
    assert pins(ROOT / "requirements.lock") <= image <= pins(ROOT / "requirements-dev.lock")


@pytest.mark.parametrize("name", ["waystation.service", "waystation-worker@.service"])
def test_systemd_takes_the_unit(tmp_path: Path, name: str) -> None:
    if (verify := shutil.which("systemd-analyze")) is None:
        pytest.skip("systemd-analyze is missing, so nobody here can judge the unit")
    unit = tmp_path / name.replace("@", "@01")
    text = (KIT / "systemd" / name).read_text()
    unit.write_text(text.replace("/opt/waystation/bin/waystation", "/bin/true"))
    found = subprocess.run([verify, "verify", unit], capture_output=True, text=True, timeout=60, check=False)
    assert (found.returncode, found.stderr) == (0, "")


def test_caddy_takes_its_file() -> None:
    if (caddy := shutil.which("caddy")) is None:
        pytest.skip("caddy is missing, so nobody here can judge its file")
    words = [caddy, "validate", "--adapter", "caddyfile", "--config", str(KIT / "caddy/Caddyfile")]
    found = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stderr
