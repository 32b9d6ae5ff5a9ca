"""The first page in a real browser: how long until somebody can type, and what it weighs.

    python -m bench.first_page [--threads 1,10000] [--times 7]

A service in a process of its own, Chromium with nothing kept, and the clock of the page itself, from the
navigation on: until the field for a message is drawn and has the focus (its script has run by then), and
until the list of conversations stands beside it. Bytes are all that came over the wire for it: for somebody
new, and for somebody whose browser has been here before.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, async_playwright

from bench.console import fill
from tests.kit.browser import chromium
from waystation.testing.agents import open_agent
from waystation.testing.service import Service

# Runs in the page before anything of it: notes when what somebody waits for is there.
WATCH = """
const noted = (window.noted = {});
const look = () => {
  const box = document.getElementById("message");
  if (!noted.usable && box && document.activeElement === box) noted.usable = performance.now();
  if (!noted.listed && document.querySelector("#threads-list a")) noted.listed = performance.now();
  if (!noted.usable || !noted.listed) requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
THERE = "() => window.noted.usable && window.noted.listed"
TOLD = """() => {
  const page = performance.getEntriesByType("navigation")[0];
  const all = [page, ...performance.getEntriesByType("resource")];
  const sum = (of) => all.reduce((found, each) => found + of(each), 0);
  const bytes = sum((each) => each.transferSize);
  return { ...window.noted, first_byte: page.responseStart, bytes, files: all.length };
}"""


@dataclass(frozen=True, slots=True)
class Visits:
    """Medians of some visits: milliseconds, and bytes over the wire.

    Args:
        slowest: Of `usable`.
    """

    first_byte: float
    usable: float
    slowest: float
    listed: float
    bytes: float
    files: float


async def _visit(context: BrowserContext, url: str) -> dict[str, float]:
    page = await context.new_page()
    await page.add_init_script(WATCH)
    await page.goto(url)
    await page.wait_for_function(THERE)
    told: dict[str, float] = await page.evaluate(TOLD)
    await page.close()
    return told


async def measured(browser: Browser, url: str, *, times: int, kept: bool) -> Visits:
    """Visits of somebody new, or of somebody who has been here before."""
    found: list[dict[str, float]] = []
    for _ in range(times + 1):
        context = await browser.new_context()
        if kept:
            await _visit(context, url)
        found.append(await _visit(context, url))
        await context.close()
    found = found[1:]
    names = ("first_byte", "usable", "listed", "bytes", "files")
    medians = {name: statistics.median(each[name] for each in found) for name in names}
    return Visits(**medians, slowest=max(each["usable"] for each in found))


async def _filled(folder: Path, count: int) -> None:
    async with open_agent(folder, tools=()) as agent:
        await fill(agent.engine, count=count, events=0)


async def run(counts: list[int], *, times: int) -> list[tuple[int, str, Visits]]:
    """Each number of conversations, for somebody new and for somebody who comes back."""
    rows = []
    async with async_playwright() as playwright:
        options: dict[str, Any] = {"executable_path": chromium(), "args": ["--no-sandbox"]}
        browser = await playwright.chromium.launch(**options)
        for count in counts:
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place)
                await _filled(folder, count)
                with Service(folder / "home", config_dir=folder / "config") as service:
                    for kept, who in ((False, "new"), (True, "been here")):
                        rows.append(
                            (count, who, await measured(browser, service.url, times=times, kept=kept))
                        )
        await browser.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", default="1,10000", help="numbers of conversations, with commas")
    parser.add_argument("--times", type=int, default=7)
    given = parser.parse_args()
    if chromium() is None:
        parser.error("there is no Chromium; install it, or name it in CHROMIUM")
    counts = [int(word) for word in given.threads.split(",")]
    head = ("first byte", "usable", "slowest", "listed", "kB", "files")
    print(f"{'threads':>8} {'who':<10}" + "".join(f"{name:>12}" for name in head))
    for count, who, found in asyncio.run(run(counts, times=given.times)):
        times = (found.first_byte, found.usable, found.slowest, found.listed)
        cells = "".join(f"{ms:>12.0f}" for ms in times)
        print(f"{count:>8} {who:<10}{cells}{found.bytes / 1000:>12.1f}{found.files:>12.0f}")


if __name__ == "__main__":
    main()
