"""Examples of the routes under /threads, without those of runs."""

from __future__ import annotations

from typing import Any

from server.examples.form import Example

WHEN = "2026-11-25T13:51:24.244867+00:00"
RUN = "r_cb84ab899b95fcd5aeacc0394126ef2b"
EARLIER = "1f1e8d74-dab1-68d1-800b-67dbe32da88a"
CHECKPOINT = "1f1e8d74-dab2-6edb-800c-4490563f8e8b"
PATH = {"thread_id": "harbour"}

THREAD: dict[str, Any] = {
    "id": "harbour",
    "title": "Berths",
    "status": "idle",
    "turns": 1,
    "tags": [],
    "parent": None,
    "waiting": [],
    "metadata": {},
    "created_at": WHEN,
    "updated_at": WHEN,
}
LISTED = {**THREAD, "cursor": "c.WyJ0aHJlYWQiLDE3OTYwNDY2ODQuMjQ0ODY3LCJoYXJib3VyIl0"}
CALL = {"id": "call_1", "name": "calculator_evaluate", "arguments": {"expression": "5 + 3"}}
SAID: list[dict[str, Any]] = [
    {"id": "m_5277b783", "role": "user", "text": "What is 5 + 3?"},
    {"id": "ai-77ffb523", "role": "assistant", "text": "", "tool_calls": [CALL]},
    {
        "id": "tool-call_1",
        "role": "tool",
        "text": "8",
        "tool_call_id": "call_1",
        "name": "calculator_evaluate",
        "server": "calculator",
        "tool": "evaluate",
        "status": "ok",
        "duration_ms": 4,
        "arguments": {"expression": "5 + 3"},
        "files": [],
    },
    {"id": "ai-e8670934", "role": "assistant", "text": "5 + 3 = 8"},
]
NDJSON = "application/x-ndjson"
EXPORT = f"""\
{{"type":"thread","format":"waystation-thread","version":1,"id":"harbour","title":"Berths","tags":[],\
"created_at":"{WHEN}","updated_at":"{WHEN}"}}
{{"type":"message","id":"m_5277b783","role":"user","text":"What is 5 + 3?","extra":{{}},\
"created_at":"{WHEN}"}}
{{"type":"window","message":{{"type":"human","content":"What is 5 + 3?","id":"m_5277b783"}}}}
{{"type":"state","summary":"","files":[],"unfinished":false}}
{{"type":"end","messages":1,"files":0,"window":1}}
"""
FORK: dict[str, Any] = {**THREAD, "id": "t_fb83355b0b6677103a7b7009864f7fec", "parent": "harbour"}


def _checkpoint(checkpoint_id: str, step: int, *following: str) -> dict[str, Any]:
    return {
        "checkpoint_id": checkpoint_id,
        "created_at": WHEN,
        "step": step,
        "next": list(following),
        "messages": 4,
    }


THREADS = {
    ("GET", "/threads"): Example(query={"status": "idle", "limit": 50}, answer=[LISTED]),
    ("POST", "/threads"): Example(
        body={"thread_id": "harbour", "title": "Berths"}, answer={**THREAD, "turns": 0}
    ),
    ("GET", "/threads/{thread_id}"): Example(path=PATH, answer=THREAD),
    ("PATCH", "/threads/{thread_id}"): Example(
        path=PATH,
        body={"title": "Berths in June", "tags": ["harbour"]},
        answer={**THREAD, "title": "Berths in June", "tags": ["harbour"]},
    ),
    ("DELETE", "/threads/{thread_id}"): Example(path=PATH, answer=None),
    ("GET", "/threads/{thread_id}/transcript"): Example(
        path=PATH,
        query={"limit": 50},
        answer={
            "messages": [
                {"seq": seq, **message, "run_id": RUN, "created_at": WHEN}
                for seq, message in enumerate(SAID, start=1)
            ],
            "before": None,
        },
    ),
    ("GET", "/threads/{thread_id}/state"): Example(
        path=PATH,
        answer={"messages": SAID, "files": [], "next": [], "interrupts": [], "checkpoint_id": CHECKPOINT},
    ),
    ("GET", "/threads/{thread_id}/history"): Example(
        path=PATH,
        query={"limit": 1},
        answer={
            "checkpoints": [_checkpoint(CHECKPOINT, 6)],
            "before": CHECKPOINT,
        },
    ),
    ("GET", "/threads/search"): Example(
        query={"q": '"5 + 3"', "limit": 20},
        answer=[
            {
                "seq": 1,
                "thread_id": "harbour",
                "title": "Berths",
                "message_id": "m_5277b783",
                "role": "user",
                "created_at": WHEN,
                "snippet": "What is 5 + 3?",
                "marks": [[8, 13]],
            }
        ],
    ),
    ("GET", "/threads/{thread_id}/line"): Example(
        path=PATH,
        query={"limit": 200},
        answer=[
            {
                "checkpoint_id": "1f1ca01a-8b0e-6f7c-8000-000000000000",
                "parent": None,
                "created_at": "2026-11-25T13:51:24.270669+00:00",
                "what": "ended",
            }
        ],
    ),
    ("GET", "/threads/{thread_id}/diff"): Example(
        path=PATH,
        answer={
            "from": _checkpoint(EARLIER, 5, "store_files"),
            "to": _checkpoint(CHECKPOINT, 6),
            "messages": {"added": [], "removed": [], "changed": []},
            "files": {"added": [], "removed": [], "changed": []},
            "channels": {},
            "next": {"from": ["store_files"], "to": []},
            "interrupts": {"from": [], "to": []},
        },
    ),
    ("POST", "/threads/{thread_id}/fork"): Example(
        path=PATH, body={"checkpoint_id": CHECKPOINT}, answer=FORK
    ),
    ("POST", "/threads/{thread_id}/export"): Example(
        path=PATH, body={"format": "jsonl"}, media=NDJSON, answer=EXPORT
    ),
    ("POST", "/threads/import"): Example(body=EXPORT, sends=NDJSON, answer={**FORK, "parent": None}),
    ("POST", "/threads/{thread_id}/edit"): Example(
        path=PATH,
        body={"message_id": "m_5277b783", "message": "What is 7 * 6?"},
        answer={"run_id": RUN, "thread_id": FORK["id"], "status": "queued", "parent": "harbour"},
    ),
}
