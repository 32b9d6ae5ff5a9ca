"""What can go wrong with a model.

ModelNotFound         no model of that name
ModelRefused          the endpoint does not accept the request or our key
└── ModelContextFull  the conversation is longer than the model accepts
ModelUnavailable      the endpoint fails or cannot be reached
├── ModelRateLimited  too many requests for now
└── ModelStreamCut    the answer broke off after it had begun
ModelTimedOut         the endpoint is silent for too long
AnswerMismatch        the model answered twice in another form than was asked for
"""

from __future__ import annotations

from core.errors import NotFound, TimedOut, Unavailable, WaystationError


class ModelNotFound(NotFound):
    """No model of that name is configured."""

    code = "model_not_found"
    title = "No such model"


class ModelRefused(WaystationError):
    """The endpoint does not accept the request, or our key."""

    code = "model_refused"
    title = "The model's endpoint refused the request"


class ModelContextFull(ModelRefused):
    """The conversation is longer than the model accepts."""

    code = "model_context_full"
    title = "The conversation is too long for the model"


class ModelUnavailable(Unavailable):
    """The endpoint fails or cannot be reached."""

    code = "model_unavailable"
    title = "The model is unavailable"


class ModelRateLimited(ModelUnavailable):
    """The endpoint wants fewer requests; `retry_after` in seconds where it said when."""

    code = "model_rate_limited"
    title = "The model's endpoint limits our requests"
    # It lives and says so: no reason to leave it alone for longer than it asks.
    counts_as_failure = False

    def __init__(self, detail: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class ModelStreamCut(ModelUnavailable):
    """The answer broke off after it had begun; `text` is what had come."""

    code = "model_stream_cut"
    title = "The model's answer broke off"

    def __init__(self, detail: str = "", *, text: str = "") -> None:
        super().__init__(detail)
        self.text = text


class ModelTimedOut(TimedOut):
    """The endpoint is silent for too long."""

    code = "model_timed_out"
    title = "The model did not answer in time"


class AnswerMismatch(WaystationError):
    """The model did not answer in the form that was asked for, or did not call the tool that it had to."""

    code = "answer_mismatch"
    title = "The model's answer is not what was asked for"
