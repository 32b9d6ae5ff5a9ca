"""The methods of the protocol, each over the agent's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fastapi import Request

from core.access import Principal
from core.events.settings import WebhookSettings
from core.settings.platform import ServerSettings
from graph.agent import Agent
from graph.runs.record import RunRecord, TurnRequest
from graph.runs.streams import Handle
from graph.runs.webhook_body import TASK, TASK_STATES
from nodes.file_storage import FileManager
from server.attachments import stored
from server.errors import InvalidRequest
from server.protocols.a2a.card import base_of, extended_card
from server.protocols.a2a.errors import OutputNotServed, PushNotServed, TaskNotWaiting
from server.protocols.a2a.reading import Message, message_of, task_id_of
from server.protocols.a2a.stream import TaskStream
from server.protocols.a2a.tasks import ENDED, task_json
from server.questions import answer_in, sample_answer
from server.requests import AgentInput, idempotency_key, turn_request

Json = dict[str, Any]
CANCEL_SECONDS = 30.0
PAGE, LARGEST_PAGE = 50, 100
_OUTPUTS = ("text/plain", "text/*", "*/*", "application/json")
_OUR_STATUS = {theirs: ours for ours, theirs in TASK_STATES.items()}


@dataclass(frozen=True, slots=True)
class MethodCall:
    """A call of a method: who makes it, and what it is given.

    Args:
        rpc_id: The request's id, which answers carry.
        params: The message that the method takes, see `reading`.
        form: Writes an answer in the words of the caller's version.
        told_as: In whose words a push notification tells.
    """

    agent: Agent
    who: Principal
    request: Request
    rpc_id: Any
    params: Any
    form: Callable[[Mapping[str, Any]], Any] = dict
    told_as: str = TASK

    @property
    def base(self) -> str:
        return base_of(self.agent, self.request)

    async def record(self, given: str) -> RunRecord:
        """The caller's run with this id. Raises RunNotFound."""
        return await self.agent.runs.get(self.who, task_id_of(given))

    def shown(self, record: RunRecord, history: int | None = None, *, artifacts: bool = True) -> Json:
        return task_json(record, base=self.base, history=history, artifacts=artifacts)


# -- messages -----------------------------------------------------------------------------------------


async def send_message(call: MethodCall) -> Json:
    """One turn, or the answer that a task waits for; the task as it has ended, or at once."""
    wish = call.params.configuration
    run = await _begun(call)
    if not wish.return_immediately:
        await call.agent.runs.settled(run.id, hurried=True)
    record = await call.agent.runs.get(call.who, run.id)
    return {"task": call.shown(record, _history(wish))}


async def stream_message(call: MethodCall) -> TaskStream:
    """The same, told as it goes."""
    run = await _begun(call)
    return _stream(call, run, _history(call.params.configuration))


async def _begun(call: MethodCall) -> Handle:
    message = message_of(call.params)
    _check_outputs(call.params.configuration)
    _history(call.params.configuration)
    if message.task_id:
        return await _answered(call, message)
    if not message.text.strip():
        raise InvalidRequest("params.message.parts: must hold text, data or a file")
    files: tuple[str, ...] = ()
    if message.content.files:
        manager = await call.agent.container.get(FileManager)
        files = await stored(manager, call.who, message.content, of=[message.id, message.text])
    given = AgentInput.model_construct(message=message.text, files=list(files))
    options = {**message.options, "thread_id": message.context_id or None}
    request: TurnRequest = turn_request(
        call.who,
        given,
        options,
        key=idempotency_key(call.request.headers.get("idempotency-key")),
        webhook=_webhook(call),
        background=bool(call.params.configuration.return_immediately),
    )
    return await call.agent.begin(replace(request, told_as=call.told_as) if request.webhook else request)


async def _answered(call: MethodCall, message: Message) -> Handle:
    """Go on with a task that waits."""
    record = await call.record(message.task_id)
    if message.context_id and message.context_id != record.thread_id:
        raise InvalidRequest(f"params.message.contextId: task '{record.id}' is of another context")
    if record.status != "interrupted":
        raise TaskNotWaiting(
            f"task '{record.id}' is {TASK_STATES[record.status]}; "
            "send the message without taskId, in its context"
        )
    if call.params.configuration.HasField("task_push_notification_config"):
        raise PushNotServed("a push notification is asked for with the message that begins a task")
    questions = (record.output or {}).get("interrupts") or ()
    if not questions:
        return await call.agent.resume(call.who, record.id, None)
    answer = message.data[0] if len(message.data) == 1 else answer_in(message.content.text)
    if answer is None:
        raise InvalidRequest(
            f"params.message.parts: task '{record.id}' waits for an answer, such as approve, reject, or data "
            f"like {sample_answer(questions)}"
        )
    return await call.agent.resume(call.who, record.id, answer)


def _check_outputs(wish: Any) -> None:
    given = list(wish.accepted_output_modes)
    if given and not any(mode in _OUTPUTS for mode in given):
        raise OutputNotServed(f"none of {', '.join(given)[:200]} is given; there are text/plain and data")


def _history(wish: Any) -> int | None:
    if not wish.HasField("history_length"):
        return None
    if wish.history_length < 0:
        raise InvalidRequest("params.historyLength: must not be negative")
    return int(wish.history_length)


# -- tasks --------------------------------------------------------------------------------------------


async def get_task(call: MethodCall) -> Json:
    """A task as it is now."""
    record = await call.record(call.params.id)
    return call.shown(record, _history(call.params))


async def list_tasks(call: MethodCall) -> Json:
    """The caller's tasks, the newest first."""
    params = call.params
    size = int(params.page_size) if params.HasField("page_size") else PAGE
    if not 1 <= size <= LARGEST_PAGE:
        raise InvalidRequest(f"params.pageSize: must be 1 to {LARGEST_PAGE}")
    chosen: dict[str, Any] = {
        "thread_id": params.context_id or None,
        "status": _status(params.status) if params.status else None,
    }
    history = _history(params)
    runs = await call.agent.runs.list(call.who, **chosen, limit=size + 1, after=params.page_token or None)
    since = params.status_timestamp_after.ToSeconds() if params.HasField("status_timestamp_after") else None
    shown = [
        call.shown(run, history, artifacts=params.include_artifacts)
        for run in runs[:size]
        if since is None or (run.ended_at or run.started_at or run.created_at) > since
    ]
    following = runs[size - 1].as_row()["cursor"] if len(runs) > size else ""
    total = await call.agent.runs.count(call.who, **chosen)
    return {"tasks": shown, "nextPageToken": following, "pageSize": size, "totalSize": total}


def _status(given: int) -> str:
    from a2a.types.a2a_pb2 import TaskState  # noqa: PLC0415 - see the package

    name = TaskState.Name(given) if given in TaskState.values() else str(given)
    if name not in _OUR_STATUS:
        raise InvalidRequest(f"params.status: no task is ever {name} here; one of {', '.join(_OUR_STATUS)}")
    return _OUR_STATUS[name]


async def cancel_task(call: MethodCall) -> Json:
    """End a task.

    Raises:
        RunEnded: It is over.
    """
    record = await call.record(call.params.id)
    await call.agent.runs.cancel(call.who, record.id)
    return call.shown(await call.agent.runs.wait(call.who, record.id, timeout=CANCEL_SECONDS))


async def subscribe(call: MethodCall) -> TaskStream:
    """A task that goes on or waits, from its first event.

    Raises:
        TaskNotWaiting: It is over; GetTask has all of it.
    """
    run = await call.agent.runs.handle(call.who, task_id_of(call.params.id))
    if run.record.status in ENDED:
        raise TaskNotWaiting(f"task '{run.id}' is {TASK_STATES[run.record.status]}; ask for it with GetTask")
    return _stream(call, run, None)


def _stream(call: MethodCall, run: Handle, history: int | None) -> TaskStream:
    stall = call.agent.book[ServerSettings].stream_stall_seconds
    return TaskStream(run, rpc_id=call.rpc_id, base=call.base, history=history, stall=stall, form=call.form)


# -- push notifications -------------------------------------------------------------------------------


def _webhook(call: MethodCall) -> str | None:
    """The URL that is told of the task's end.

    Raises:
        PushNotServed: It cannot be told in the way that is asked for.
    """
    wish = call.params.configuration
    if not wish.HasField("task_push_notification_config"):
        return None
    config = wish.task_push_notification_config
    if call.agent.book[WebhookSettings].run_secret is None:
        raise PushNotServed("push notifications are off here: webhooks.run_secret is not set")
    if config.token or config.HasField("authentication"):
        raise PushNotServed(
            "no token and no login of yours is kept; what is sent is signed by webhooks.run_secret"
        )
    if "://" not in config.url:
        raise InvalidRequest("params.configuration.taskPushNotificationConfig.url: must be a full address")
    return str(config.url)


async def create_push(call: MethodCall) -> Json:
    """Configurations go with the message that begins a task."""
    await call.record(call.params.task_id)
    raise PushNotServed(
        "a push notification is asked for with the message: configuration.taskPushNotificationConfig"
    )


async def get_push(call: MethodCall) -> Json:
    """The one configuration of a task."""
    record = await call.record(call.params.task_id)
    if call.params.id not in ("", record.id) or not record.request.webhook:
        raise InvalidRequest(f"task '{record.id}' has no configuration '{call.params.id[:64]}'")
    return _config(record)


async def list_pushes(call: MethodCall) -> Json:
    """The configurations of a task: one or none."""
    record = await call.record(call.params.task_id)
    return {"configs": [_config(record)] if record.request.webhook else []}


def _config(record: RunRecord) -> Json:
    return {"taskId": record.id, "id": record.id, "url": record.request.webhook}


async def delete_push(call: MethodCall) -> Json:
    """A task's configuration stays as long as the task."""
    await call.record(call.params.task_id)
    raise PushNotServed("a configuration stays with its task; the receiver may refuse what comes")


async def get_card(call: MethodCall) -> Json:
    """The agent's card with what this caller may use."""
    return await extended_card(call.agent, call.who, call.request)


ANSWERS: Mapping[str, Any] = {
    "SendMessage": send_message,
    "SendStreamingMessage": stream_message,
    "GetTask": get_task,
    "ListTasks": list_tasks,
    "CancelTask": cancel_task,
    "SubscribeToTask": subscribe,
    "CreateTaskPushNotificationConfig": create_push,
    "GetTaskPushNotificationConfig": get_push,
    "ListTaskPushNotificationConfigs": list_pushes,
    "DeleteTaskPushNotificationConfig": delete_push,
    "GetExtendedAgentCard": get_card,
}
