"""The receiver that a run's caller names is told of its end, signed, once; and only where it may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.access import Principal
from core.events.targets import WebhookNotAllowed
from graph import Agent, TurnRequest
from tests.kit.agents import context_at
from tests.kit.webhook_server import SECRET, WebhookServer

ADA = Principal("ada")
LOCAL: dict[str, Any] = {"allowed_hosts": ["127.0.0.1"], "allow_private_addresses": True}


def asking(url: str) -> TurnRequest:
    return TurnRequest(ADA, "What is 5 + 3?", thread_id="t1", webhook=url, background=True)


@pytest.mark.parametrize("by", ["url", "name"])
async def test_a_receiver_is_told_of_the_end_with_the_output(tmp_path: Path, by: str) -> None:
    async with WebhookServer(SECRET) as server:
        hook = {"name": "mine", "url": server.url, "secret": SECRET, "events": ["FileDeleted"]}
        settings = {**LOCAL, "run_secret": SECRET, "hooks": [hook] if by == "name" else []}
        context = context_at(tmp_path, webhooks=settings)
        async with Agent.open(context, worker=True) as agent:
            run = await agent.begin(asking(server.url if by == "url" else "mine"))
            await run.result()
            [message] = await server.received(1)
    assert message.signed
    body = message.json
    assert (body["type"], body["data"]["run_id"], body["data"]["status"]) == ("run.ended", run.id, "done")
    assert body["data"]["output"]["answer"] == "5 + 3 = 8"


@pytest.mark.parametrize(
    ("settings", "named", "why"),
    [
        (LOCAL, "https://127.0.0.1/x", "run_secret"),
        ({**LOCAL, "run_secret": SECRET}, "https://elsewhere.example/x", "allowed_hosts"),
        ({"allowed_hosts": ["a.example"], "run_secret": SECRET}, "http://a.example/x", "https"),
        (LOCAL, "nobody", "webhooks: none"),
    ],
)
async def test_a_receiver_that_may_not_be_told_is_refused_before_anything_is_stored(
    tmp_path: Path, settings: dict[str, Any], named: str, why: str
) -> None:
    async with Agent.open(context_at(tmp_path, webhooks=settings)) as agent:
        with pytest.raises(WebhookNotAllowed, match=why):
            await agent.begin(asking(named))
        assert not await agent.threads.list(ADA)
