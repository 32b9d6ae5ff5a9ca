"""`waystation demo` and `make demo`: five turns that show what there is, with nothing configured."""

from __future__ import annotations

import sys

from core.cli import command
from graph.runs.record import TurnRequest
from nodes.file_storage import FileManager
from server.cli.ask import Screen, after
from server.cli.sessions import opened

SALES = b"region,amount\nnorth,10.5\nsouth,4\nnorth,2\n"
TURNS = (
    ("What is 5 + 3?", True),
    ("And doubled?", True),
    ("What time is it in Tokyo?", False),
    ("How do I add a tool?", False),
    ("What is the total of amount by region in sales.csv?", False),
)


@command
async def main() -> None:
    """Ask the five, one after the other; the second goes on where the first ended."""
    async with opened() as (agent, who):
        files = await agent.container.get(FileManager)
        upload = await files.put(who, "sales.csv", SALES)
        thread: str | None = None
        for question, same_thread in TURNS:
            print(f"\n> {question}", flush=True)
            keys = (upload.key,) if "sales.csv" in question else ()
            thread_id = thread if same_thread else None
            run = await agent.begin(TurnRequest(who, question, files=keys, thread_id=thread_id))
            screen = Screen(sys.stdout, sys.stderr)
            async for event in run.events():
                screen.show(event)
            thread = run.thread_id
            after(await run.result())


if __name__ == "__main__":
    main()
