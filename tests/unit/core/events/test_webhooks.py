"""Webhooks: which events are sent, and what becomes of a delivery."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from dishka import AsyncContainer, Provider, Scope, make_async_container
from sqlalchemy import update

from core.access import Principal
from core.correlation import correlated
from core.errors import ConfigInvalid
from core.events.errors import WebhookRefused, WebhookUnavailable
from core.events.tables import webhook_deliveries
from core.events.tasks import webhook_tasks
from core.events.webhooks import DeliverWebhook, WebhookFailed, Webhooks
from core.health import HealthState
from core.task_queue.task import TaskContext
from tests.kit.webhook_server import SECRET, BadSignature, verify
from tests.unit.core.events.hooks import Added, Bought, Sold, SoldOut, configured, hook, hooked, served

NOWHERE = "http://127.0.0.1:9/"


async def test_an_event_arrives_signed_with_its_type_time_and_data(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, ours):
        with correlated(user="ada", run_id="r1"):
            delivery_id = await ours.published(Sold("tea", count=2, at=0.5))
        await ours.webhooks.deliver(delivery_id)
        [message] = server.messages
        [row] = await ours.rows()
    assert message.signed
    assert message.headers["content-type"] == "application/json"
    assert message.headers["webhook-id"] == delivery_id
    assert message.json == {
        "type": "Sold",
        "timestamp": "1970-01-01T00:00:00.500000Z",
        "data": {"item": "tea", "count": 2, "at": 0.5, "by": {"run_id": "r1", "user": "ada"}},
    }
    assert (row["status"], row["attempts"], row["hook"], row["event"]) == ("done", 1, "crm", "Sold")
    assert ours.queue.added == [Added("deliver_webhook", delivery_id, delivery_id, "system")]


async def test_a_changed_body_or_another_secret_does_not_verify(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, ours):
        await ours.webhooks.deliver(await ours.published(Sold("tea")))
        [message] = server.messages
    verify(SECRET, message.headers, message.body)
    with pytest.raises(BadSignature):
        verify(SECRET, message.headers, message.body + b" ")
    with pytest.raises(BadSignature):
        verify("whsec_" + "A" * 44, message.headers, message.body)


async def test_each_hook_gets_the_events_it_asked_for(tmp_path: Path) -> None:
    hooks = [hook(NOWHERE, "Sold", name="sold"), hook(NOWHERE, "Bought", name="bought")]
    hooks += [hook(NOWHERE, "*", name="all"), hook(NOWHERE, "*", name="off", enabled=False)]
    async with hooked(configured(*hooks), tmp_path) as ours:
        ours.bus.publish(SoldOut("tea"))
        ours.bus.publish(Bought("milk"))
        await ours.queue.ids(4)
        sent = [(row["event"], row["hook"]) for row in await ours.rows()]
    assert sent == [("SoldOut", "sold"), ("SoldOut", "all"), ("Bought", "bought"), ("Bought", "all")]


async def test_without_hooks_nothing_listens(tmp_path: Path) -> None:
    async with hooked(configured(hook(NOWHERE, enabled=False)), tmp_path) as ours:
        assert "webhooks" not in [status.name for status in ours.bus.status()]


@pytest.mark.parametrize(
    ("name", "said"),
    [("Slod", "did you mean 'Sold'"), ("Qqq", "known: "), ("WebhookFailed", "wants the event")],
)
async def test_an_event_that_does_not_exist_is_found_when_the_hooks_are_wired(
    name: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigInvalid, match=said):
        async with hooked(configured(hook(NOWHERE, name)), tmp_path):
            pass


async def test_an_attempt_that_fails_is_noted_and_the_next_one_may_succeed(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, ours):
        delivery_id = await ours.published(Sold("tea"))
        server.answer(503, retry_after="7")
        with pytest.raises(WebhookUnavailable, match="the receiver answered 503") as caught:
            await ours.webhooks.deliver(delivery_id)
        [row] = await ours.rows()
        assert (row["status"], row["last_error"]) == ("waiting", "webhook 'crm': the receiver answered 503")
        await ours.webhooks.deliver(delivery_id)
        first, second = server.messages
        [row] = await ours.rows()
    assert caught.value.retry_after == 7
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert (row["status"], row["attempts"], row["last_error"]) == ("done", 2, "")


@pytest.mark.parametrize("status", [408, 429, 500, 502])
async def test_an_answer_that_may_change_is_asked_for_again(status: int, tmp_path: Path) -> None:
    async with served(tmp_path) as (server, ours):
        server.answer(status, retry_after="soon")
        with pytest.raises(WebhookUnavailable, match=str(status)) as caught:
            await ours.webhooks.deliver(await ours.published(Sold("tea")))
    assert caught.value.retry_after is None


@pytest.mark.parametrize("status", [302, 400, 401, 410])
async def test_a_refusal_ends_the_delivery_at_once(status: int, tmp_path: Path) -> None:
    async with served(tmp_path) as (server, ours):
        server.answer(status, location="http://169.254.169.254/")
        delivery_id = await ours.published(Sold("tea"))
        with pytest.raises(WebhookRefused, match=f"the receiver answered {status}"):
            await ours.webhooks.deliver(delivery_id)
        await ours.webhooks.deliver(delivery_id)
        [row] = await ours.rows()
        [event] = await ours.seen.wait_for(WebhookFailed)
        health = await ours.webhooks.check()
    assert len(server.messages) == 1
    assert (row["status"], row["attempts"]) == ("failed", 1)
    assert (event.hook, event.event, event.delivery_id, event.outcome) == (
        "crm",
        "Sold",
        delivery_id,
        "failed",
    )
    assert health.state is HealthState.DEGRADED
    assert health.reason == "webhook 'crm': 1 deliveries given up lately"


async def test_after_the_last_attempt_a_delivery_has_failed(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, ours):
        assert (await ours.webhooks.check()).state is HealthState.HEALTHY
        server.answer(500)
        with pytest.raises(WebhookUnavailable):
            await ours.webhooks.deliver(await ours.published(Sold("tea")), last=True)
        [row] = await ours.rows()
        await ours.seen.wait_for(WebhookFailed)
    assert row["status"] == "failed"
    assert row["ended_at"] > row["created_at"]


async def test_a_failed_delivery_is_itself_never_sent(tmp_path: Path) -> None:
    async with hooked(configured(hook(NOWHERE, "*")), tmp_path) as ours:
        ours.bus.publish(WebhookFailed("crm", "msg_1", "Sold", "no"))
        await ours.published(Sold("tea"))
        assert [row["event"] for row in await ours.rows()] == ["Sold"]


async def test_a_delivery_that_is_done_or_unknown_is_not_sent_again(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, ours):
        delivery_id = await ours.published(Sold("tea"))
        for _ in range(2):
            await ours.webhooks.deliver(delivery_id)
        await ours.webhooks.deliver("msg_unknown")
        assert len(server.messages) == 1


async def test_a_hook_that_was_removed_ends_its_deliveries(tmp_path: Path) -> None:
    async with hooked(configured(hook(NOWHERE)), tmp_path) as ours:
        delivery_id = await ours.published(Sold("tea"))
    async with hooked(configured(), tmp_path) as ours:
        with pytest.raises(WebhookRefused, match="'crm' is no longer configured"):
            await ours.webhooks.deliver(delivery_id)
        assert (await ours.rows())[0]["status"] == "failed"


async def test_what_a_crash_left_without_a_task_is_queued_at_the_next_start(tmp_path: Path) -> None:
    async with hooked(configured(hook(NOWHERE)), tmp_path) as ours:
        ids = [await ours.published(Sold(item)) for item in ("tea", "milk", "old")]
        async with ours.engine.begin() as db:
            table = webhook_deliveries
            await db.execute(
                update(table).where(table.c.id == ids[2]).values(created_at=time.time() - 2 * 86_400)
            )
    async with hooked(configured(hook(NOWHERE)), tmp_path) as ours:
        assert await ours.webhooks.resume() == 2
        assert await ours.queue.ids(2) == ids[:2]
        assert [added.key for added in ours.queue.added] == ids[:2]


async def test_the_tasks_deliver_and_forget(tmp_path: Path) -> None:
    async with served(tmp_path, attempts=2, keep_days=1e-9) as (server, ours):
        provider = Provider(scope=Scope.APP)
        provider.provide(lambda: ours.webhooks, provides=Webhooks)
        container = make_async_container(provider)
        deliver, forget = webhook_tasks(configured(attempts=2))
        arguments = deliver.arguments(delivery_id=await ours.published(Sold("tea")))
        assert isinstance(arguments, DeliverWebhook)
        server.answer(500)
        server.answer(500)
        for attempt in (1, 2):
            with pytest.raises(WebhookUnavailable):
                await deliver.run(arguments, context(container, attempt))
        assert [row["status"] for row in await ours.rows()] == ["failed"]
        await forget.run(forget.arguments(), context(container, 1))
        assert await ours.rows() == []
        await container.close()
    assert (deliver.name, deliver.attempts, forget.cron) == ("deliver_webhook", 2, "17 3 * * *")


def context(container: AsyncContainer, attempt: int) -> TaskContext:
    async def report(done: float, total: float | None, message: str) -> None: ...

    return TaskContext(
        container=container,
        principal=Principal("system"),
        task_id="t",
        attempt=attempt,
        report=report,
    )
