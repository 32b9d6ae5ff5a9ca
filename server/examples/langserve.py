"""Examples of the routes under /agent and /chat, which LangServe serves and describes in its own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.examples.form import EVENT_STREAM, Example, events

RUN = "r_cb84ab899b95fcd5aeacc0394126ef2b"
SERVE_RUN = "3d0024fe-2b52-4459-b737-6bbbb18d142b"
METADATA: dict[str, Any] = {"run_id": SERVE_RUN, "feedback_tokens": []}
METADATA_OF_MANY: dict[str, Any] = {"responses": [METADATA], "run_ids": [SERVE_RUN]}

SCHEMAS = {
    "input": "The JSON schema of `input`.",
    "output": "The JSON schema of `output`.",
    "config": "The JSON schema of `config`: what may stand in `configurable`.",
}
A_SCHEMA = {"title": "…", "type": "object", "properties": {}}

# ---- /agent

QUESTION = {"message": "What is 5 + 3?", "files": []}
CHOSEN = {"configurable": {"thread_id": "harbour"}}
REPLY: dict[str, Any] = {
    "answer": "5 + 3 = 8",
    "status": "done",
    "thread_id": "harbour",
    "run_id": RUN,
    "citations": [],
    "files": [],
    "tool_calls": [
        {
            "id": "call_1",
            "server": "calculator",
            "tool": "evaluate",
            "arguments": {"expression": "5 + 3"},
            "status": "ok",
            "duration_ms": 4,
        }
    ],
    "interrupts": [],
    "usage": {"input_tokens": 145, "output_tokens": 6, "model": "offline"},
}
_STARTED = f'{{"seq":1,"run_id":"{RUN}","type":"run_started","thread_id":"harbour","attempt":1}}'
_TOKEN = f'{{"seq":5,"run_id":"{RUN}","type":"token","delta":"5 + 3 = 8"}}'
_DONE = f'{{"seq":9,"run_id":"{RUN}","type":"done","answer":"5 + 3 = 8","status":"done"}}'

AGENT = {
    "invoke": Example(
        summary="A turn, and its reply",
        description="Exactly one of `message` and `resume` in `input`. Without a `thread_id` in "
        "`config.configurable` the turn makes a new thread, and the reply names it. Errors that are known "
        "before the turn starts are problem documents.",
        body={"input": QUESTION, "config": CHOSEN},
        answer={"output": {**REPLY, "error": {}}, "metadata": METADATA},
    ),
    "batch": Example(
        summary="Several turns, and their replies",
        description="As many turns at a time as the limits allow; the replies come in the order of `inputs`.",
        body={"inputs": [QUESTION]},
        answer={"output": [{**REPLY, "error": {}}], "metadata": METADATA_OF_MANY},
    ),
    "stream": Example(
        summary="A turn as events",
        description="One JSON object per event, each with its `seq` as the event's `id`; the last one is "
        "`done` or `error`. `GET /runs/{id}/events` goes on where a connection broke.",
        body={"input": QUESTION, "config": CHOSEN},
        media=EVENT_STREAM,
        answer=events(
            f"id: 1\nevent: data\ndata: {_STARTED}",
            f"id: 5\nevent: data\ndata: {_TOKEN}",
            f"id: 9\nevent: data\ndata: {_DONE}",
            "event: end",
        ),
    ),
    "stream_log": Example(
        summary="A turn as LangChain's run log",
        description="JSON patches that build up LangChain's log of the run; the turn's own events are in "
        "`streamed_output`. Use `/agent/stream` unless a LangChain client asks for this.",
        body={"input": QUESTION, "config": CHOSEN},
        media=EVENT_STREAM,
        answer=events(
            'event: data\ndata: {"ops":[{"op":"add","path":"/streamed_output/-","value":' + _TOKEN + "}]}",
            "event: end",
        ),
    ),
    "stream_events": Example(
        summary="A turn as LangChain's events",
        description="The turn's own events inside those of LangChain, as `on_chain_stream`. "
        "Use `/agent/stream` unless a LangChain client asks for this.",
        body={"input": QUESTION, "config": CHOSEN},
        media=EVENT_STREAM,
        answer=events(
            'event: data\ndata: {"event":"on_chain_stream","name":"/agent",'
            f'"run_id":"{SERVE_RUN}","data":{{"chunk":{_TOKEN}}}}}',
            "event: end",
        ),
    ),
}

# ---- /chat

SAID = {"messages": [{"type": "human", "content": "What is 5 + 3?"}]}
MESSAGE: dict[str, Any] = {
    "content": "5 + 3 = 8",
    "additional_kwargs": {},
    "response_metadata": {},
    "type": "ai",
    "name": None,
    "id": RUN,
    "tool_calls": [],
    "invalid_tool_calls": [],
    "usage_metadata": None,
}
_CHUNK = f'{{"content":"5 + 3 = 8","type":"AIMessageChunk","id":"{RUN}"}}'

CHAT = {
    "invoke": Example(
        summary="The next message of a conversation",
        description="The whole conversation goes in, the assistant's message comes out. Nothing is kept "
        "unless `config.configurable` names a `thread_id`.",
        body={"input": SAID},
        answer={"output": MESSAGE, "metadata": METADATA},
    ),
    "batch": Example(
        summary="The next messages of several conversations",
        description="As `/chat/invoke`, for each of `inputs`.",
        body={"inputs": [SAID]},
        answer={"output": [MESSAGE], "metadata": METADATA_OF_MANY},
    ),
    "stream": Example(
        summary="The next message, as it is written",
        description="Chunks of the assistant's message.",
        body={"input": SAID},
        media=EVENT_STREAM,
        answer=events(f"event: data\ndata: {_CHUNK}", "event: end"),
    ),
    "stream_log": Example(
        summary="The next message as LangChain's run log",
        description="JSON patches that build up LangChain's log of the run.",
        body={"input": SAID},
        media=EVENT_STREAM,
        answer=events(
            'event: data\ndata: {"ops":[{"op":"add","path":"/streamed_output/-","value":' + _CHUNK + "}]}",
            "event: end",
        ),
    ),
    "stream_events": Example(
        summary="The next message as LangChain's events",
        description="LangChain's events, with chunks of the message in `on_chain_stream`.",
        body={"input": SAID},
        media=EVENT_STREAM,
        answer=events(
            'event: data\ndata: {"event":"on_chain_stream","name":"/chat",'
            f'"run_id":"{SERVE_RUN}","data":{{"chunk":{_CHUNK}}}}}',
            "event: end",
        ),
    ),
}


def _below(path: str, found: Mapping[str, Example]) -> dict[tuple[str, str], Example]:
    schemas = {
        ("GET", f"{path}/{what}_schema"): Example(
            summary=f"Schema of the {what}", description=text, answer=A_SCHEMA
        )
        for what, text in SCHEMAS.items()
    }
    return {**schemas, **{("POST", f"{path}/{name}"): example for name, example in found.items()}}


LANGSERVE = {**_below("/agent", AGENT), **_below("/chat", CHAT)}
