"""Webhooks: events for other services, kept in the database and sent by the task queue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, Self

from prometheus_client import Counter
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from core.access import Principal
from core.errors import ConfigInvalid
from core.events.addresses import Resolve, resolved
from core.events.bus import EventBus
from core.events.deliveries import DONE, FAILED, Deliveries, Delivery
from core.events.errors import WebhookRefused, WebhookUnavailable
from core.events.sender import Sender
from core.events.settings import ALL_EVENTS, Hook, WebhookSettings
from core.events.subscription import Event, Subscription, known_events
from core.events.targets import WebhookNotAllowed, target_of
from core.foreign import as_bytes
from core.health import Health, degraded, healthy
from core.observability import REGISTRY
from core.settings import nearest

ATTEMPTS = Counter(
    "waystation_webhook_attempts_total",
    "Attempts to deliver to a webhook: done, retry or failed.",
    ["hook", "outcome"],
    registry=REGISTRY,
)
TASK = "deliver_webhook"
_DAY = 86_400.0
_FAILURES_SHOW_SECONDS = 900.0


class DeliverWebhook(BaseModel):
    """Arguments of the task."""

    delivery_id: str = Field(max_length=64)


class Queue(Protocol):
    """The part of the task queue that webhooks use."""

    @property
    def system(self) -> Principal:
        """For whom the service itself works."""

    async def add(
        self, name: str, arguments: BaseModel, *, key: str | None = None, owner: Principal, delay_s: float = 0
    ) -> object: ...


@dataclass(frozen=True, slots=True)
class WebhookFailed(Event):
    """A delivery was given up. It is not sent to webhooks itself."""

    hook: str
    delivery_id: str
    event: str
    reason: str

    @property
    def outcome(self) -> str:
        return "failed"


class Webhooks:
    """Sends the events that each hook of the settings asks for.

    Args:
        engine: The service's database; each delivery is a row there.
        queue: Runs the task `deliver_webhook` and tries again with back-off.
        resolve: Turns a host and port into addresses.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        *,
        engine: AsyncEngine,
        queue: Queue,
        bus: EventBus,
        resolve: Resolve = resolved,
    ) -> None:
        self._settings = settings
        self._hooks = {hook.name: hook for hook in settings.hooks if hook.enabled}
        self._kinds: dict[str, tuple[type[Event], ...]] = {}
        self._deliveries = Deliveries(engine)
        self._queue = queue
        self._bus = bus
        self._sender = Sender(settings, resolve=resolve)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sender.aclose()

    def subscribe(self) -> Subscription | None:
        """Listen to the events that some hook wants; None when there is no hook.

        Call it when every module is loaded: only then all events are known.

        Raises:
            ConfigInvalid: A hook asks for an event that does not exist.
        """
        self._kinds = {name: _kinds(hook) for name, hook in self._hooks.items()}
        wanted = tuple(dict.fromkeys(kind for kinds in self._kinds.values() for kind in kinds))
        return self._bus.subscribe(wanted, self._send, name="webhooks") if wanted else None

    async def resume(self) -> int:
        """Queue what a crash left without a task, of the last day; says how many deliveries wait."""
        waiting = await self._deliveries.waiting_since(self._deliveries.now() - _DAY)
        for delivery_id in waiting:
            await self._enqueue(delivery_id)
        return len(waiting)

    async def deliver(self, delivery_id: str, *, last: bool = False) -> None:
        """One attempt; returns when the receiver took it, or when it had ended before.

        Args:
            last: No other attempt follows.

        Raises:
            WebhookUnavailable: Not this time.
            WebhookRefused: Not ever; the delivery has ended.
        """
        delivery = await self._deliveries.begin(delivery_id)
        if delivery is None:
            return
        try:
            await self._sender.post(self._hook(delivery), delivery.id, delivery.body)
        except WebhookRefused as error:
            await self._give_up(delivery, error.detail)
            raise
        except WebhookUnavailable as error:
            if last:
                await self._give_up(delivery, error.detail)
            else:
                await self._deliveries.note(delivery.id, error.detail)
                ATTEMPTS.labels(delivery.hook, "retry").inc()
            raise
        await self._deliveries.end(delivery.id, DONE)
        ATTEMPTS.labels(delivery.hook, "done").inc()

    async def forget(self) -> int:
        """Delete the deliveries that are older than `keep_days`; says how many."""
        return await self._deliveries.forget(self._deliveries.now() - self._settings.keep_days * _DAY)

    async def check(self) -> Health:
        """Degraded when a delivery was given up in the last 15 minutes."""
        failed = await self._deliveries.failed_since(self._deliveries.now() - _FAILURES_SHOW_SECONDS)
        if not failed:
            return healthy(hooks=len(self._hooks))
        reason = "; ".join(f"webhook '{hook}': {n} deliveries given up lately" for hook, n in failed.items())
        return degraded(reason, hooks=len(self._hooks), failed=failed)

    async def _send(self, event: Event) -> None:
        if isinstance(event, WebhookFailed):
            return
        for name, kinds in self._kinds.items():
            if isinstance(event, kinds):
                await self._enqueue(await self._deliveries.add(name, event.what, _body(event)))

    async def _enqueue(self, delivery_id: str) -> None:
        # The id is also the key: a delivery has one open task, however often it is queued.
        arguments = DeliverWebhook(delivery_id=delivery_id)
        await self._queue.add(TASK, arguments, key=delivery_id, owner=self._queue.system)

    def _hook(self, delivery: Delivery) -> Hook:
        if delivery.url:
            try:
                return target_of(self._settings, delivery.url)
            except WebhookNotAllowed as error:
                raise WebhookRefused(error.detail) from None
        try:
            return self._hooks[delivery.hook]
        except KeyError:
            raise WebhookRefused(f"webhook '{delivery.hook}' is no longer configured, or off") from None

    async def _give_up(self, delivery: Delivery, reason: str) -> None:
        await self._deliveries.end(delivery.id, FAILED, reason)
        ATTEMPTS.labels(delivery.hook, "failed").inc()
        self._bus.publish(WebhookFailed(delivery.hook, delivery.id, delivery.event, reason))


def _kinds(hook: Hook) -> tuple[type[Event], ...]:
    if ALL_EVENTS in hook.events:
        return (Event,)
    known = {name: kind for name, kind in known_events().items() if kind is not WebhookFailed}
    for name in hook.events:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean '{near}'?" if near else f"known: {', '.join(known)}"
            raise ConfigInvalid(f"webhooks: hook '{hook.name}' wants the event '{name}'; {hint}")
    return tuple(known[name] for name in hook.events)


def _body(event: Event) -> bytes:
    at = datetime.fromtimestamp(event.at, UTC).isoformat().replace("+00:00", "Z")
    return as_bytes({"type": event.what, "timestamp": at, "data": event.as_json()})
