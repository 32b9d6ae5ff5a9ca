"""What can go wrong on OpenAI's wire alone."""

from __future__ import annotations

from core.errors import Conflict


class ResponseInThread(Conflict):
    """A response cannot be deleted without the other turns of its thread."""

    code = "response_in_thread"
    title = "The response is one of several turns"
