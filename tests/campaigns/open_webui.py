"""Open WebUI as it comes from the registry, pointed to this service, and driven in Chromium.

    python -m tests.campaigns.open_webui [--shots FOLDER]

It is installed into a virtual environment of this run, pinned, without what it needs for models and voices of
its own (some gigabytes that no chat asks for), and started without telemetry or downloads. A person
makes an account, chooses the model, asks, and asks on; the service must have that as one thread of two turns,
and what Open WebUI asks for by itself (titles, tags, further questions) in threads apart.
Needs Chromium, and about a gigabyte and a half of disk while it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, expect, sync_playwright

from tests.kit.browser import chromium
from waystation.testing.service import Service, free_port, run

VERSION = "0.12.4"
# What serves models and voices on this machine; what is imported without being asked for is left in.
LEFT_OUT = {"accelerate", "colbert-ai", "faster-whisper", "sentence-transformers"}
START_SECONDS = 300.0
PATIENCE_MS = 60_000
_ONLY_LOOPBACK = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
_QUESTIONS = ("What is 5 + 3?", "And 2 + 2?")
_ANSWERS = ("5 + 3 = 8", "2 + 2 = 4")


def installed(folder: Path) -> Path:
    """The folder of its programs, in an environment of its own."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", f"open-webui=={VERSION}"], check=True)
    told = "import importlib.metadata as m, json; print(json.dumps(m.requires('open-webui')))"
    done = subprocess.run([pip[0], "-c", told], check=True, capture_output=True, text=True)
    wanted = [line for line in json.loads(done.stdout) if "extra ==" not in line]
    # Its command line stands on typer, which others of its requirements bring in.
    wanted = [line for line in wanted if re.split(r"[\[<>=!~; ]", line)[0] not in LEFT_OUT] + ["typer"]
    subprocess.run([*pip, *wanted], check=True)
    return folder / "bin"


def environment(folder: Path, service: Service, key: str) -> dict[str, str]:
    """Where it keeps its data, whom it asks, and nothing that calls home."""
    quiet = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "OFFLINE_MODE", "DO_NOT_TRACK", "SCARF_NO_ANALYTICS")
    off = ("ANONYMIZED_TELEMETRY", "ENABLE_VERSION_UPDATE_CHECK", "ENABLE_OLLAMA_API")
    return {
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OPENAI_", "WAYSTATION_"))
        },
        **dict.fromkeys(quiet, "true"),
        **dict.fromkeys(off, "false"),
        "HF_HUB_OFFLINE": "1",
        "DATA_DIR": str(folder),
        "WEBUI_SECRET_KEY": os.urandom(16).hex(),
        "OPENAI_API_BASE_URL": f"{service.url}/v1",
        "OPENAI_API_KEY": key,
        "RAG_EMBEDDING_ENGINE": "openai",
        "AUDIO_STT_ENGINE": "openai",
    }


@contextmanager
def started(programs: Path, env: dict[str, str]) -> Iterator[str]:
    """Open WebUI, once it answers; its address."""
    port = free_port()
    words = [str(programs / "open-webui"), "serve", "--host", "127.0.0.1", "--port", str(port)]
    with (Path(env["DATA_DIR"]) / "log").open("w") as log:
        process = subprocess.Popen(words, env=env, stdout=log, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}"
            until(lambda: process.poll() is not None or _answers(url), START_SECONDS)
            if process.poll() is not None:
                raise SystemExit(f"Open WebUI ended:\n{Path(log.name).read_text()[-4000:]}")
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/config", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def until(check: Callable[[], object], seconds: float) -> None:
    """Wait for it; a campaign may look again and again."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds:g} s")
        time.sleep(0.5)


def talk(page: Page, url: str) -> None:
    """Make an account, choose the model, ask, and ask on."""
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page.goto(f"{url}/auth")
    page.get_by_role("button", name="Get started").click()
    for name, value in (("name", "Ada"), ("email", "ada@example.com"), ("password", "kept-by-nobody-7")):
        page.locator(f"#{name}").fill(value)
    page.get_by_role("button", name="Create Admin Account").click()
    page.get_by_text("Okay, Let's Go!").click()
    page.locator("#model-selector-model-button").click()
    page.get_by_text("waystation", exact=True).first.click()
    for question, answer in zip(_QUESTIONS, _ANSWERS, strict=True):
        page.locator("#chat-input").click()
        page.keyboard.type(question)
        page.keyboard.press("Enter")
        expect(page.get_by_text(answer).first).to_be_visible()
        # The turn has ended where it may be asked again.
        expect(page.get_by_role("button", name="Regenerate").last).to_be_visible()


def threads_of(service: Service, key: str) -> list[dict[str, Any]]:
    """The caller's threads, as the service lists them."""
    headers = {"authorization": f"Bearer {key}"}
    found: Any = httpx.get(f"{service.url}/threads", headers=headers, trust_env=False).json()
    return list(found if isinstance(found, list) else found["threads"])


def prove(service: Service, key: str) -> list[str]:
    """What the service has of it; raises where it is not what it should be."""
    # What it asks by itself comes behind the answer.
    until(lambda: all(thread["status"] == "idle" for thread in threads_of(service, key)), 60)
    threads = threads_of(service, key)
    talked = [thread for thread in threads if thread["title"] == _QUESTIONS[0]]
    assert [thread["turns"] for thread in talked] == [2], threads
    others = [thread for thread in threads if thread not in talked]
    assert all(thread["turns"] == 1 and thread["title"].startswith("### Task") for thread in others), others
    return [f"one thread of {talked[0]['turns']} turns", f"{len(others)} threads of what it asks by itself"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shots", type=Path, help="keep pictures of the page in this folder")
    parser.add_argument("--programs", type=Path, help="the bin folder of an environment that has it already")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs = given.programs or installed(folder / "environment")
        login = {"WAYSTATION_AUTH__MODE": "keys"}
        made = run("keys", "create", "--user", "ada@example.com", "--json", home=folder / "home", env=login)
        key = str(json.loads(made.stdout)["key"])
        (folder / "data").mkdir()
        with (
            Service(folder / "home", env=login) as service,
            started(programs, environment(folder / "data", service, key)) as url,
            sync_playwright() as play,
        ):
            browser = play.chromium.launch(executable_path=chromium(), args=[_ONLY_LOOPBACK])
            page = browser.new_page(viewport={"width": 1200, "height": 800})
            try:
                talk(page, url)
                print(f"Open WebUI {VERSION}: {'; '.join(prove(service, key))}")
            finally:
                if given.shots:
                    given.shots.mkdir(parents=True, exist_ok=True)
                    page.screenshot(path=given.shots / "open-webui.png")
                browser.close()


if __name__ == "__main__":
    main()
