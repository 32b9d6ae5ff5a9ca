"""What can go wrong with the history of a thread."""

from __future__ import annotations

from core.errors import InvalidInput, NotFound


class CheckpointNotFound(NotFound):
    """The thread has no such checkpoint, or none any more."""

    code = "checkpoint_not_found"
    title = "No such checkpoint"

    def __init__(self, thread_id: str, checkpoint_id: str | None) -> None:
        what = f"no checkpoint '{checkpoint_id[:80]}'" if checkpoint_id else "no checkpoint yet"
        super().__init__(f"thread '{thread_id}' has {what}")


class MessageNotFound(NotFound):
    """The thread has no user message with this id."""

    code = "message_not_found"
    title = "No such message"

    def __init__(self, thread_id: str, message_id: str) -> None:
        super().__init__(f"thread '{thread_id}' has no message '{message_id[:80]}' of its user")


class ExportInvalid(InvalidInput):
    """A line of an exported thread is not what it should be; the detail says which."""

    code = "export_invalid"
    title = "The exported thread cannot be read"

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line
