"""Logs for people and machines: one JSON object a line on stderr, also what libraries log."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from core.observability.redaction import redact

# What libraries say is shown from here on; at our level `debug`, from `info` on.
_LIBRARY_LEVEL = logging.WARNING


class _Unfailing:
    """Stderr that loses a line rather than the work it tells of, where the disk behind it is full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what stderr is now, which is not always what it was when logging was configured."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """A line that cannot be written is lost; what else fails in here is told as ever."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _value: TextIO) -> None:
        """The base class sets it; ours is always stderr."""


def quiet_logging() -> None:
    """For a process that configured no logs, a notebook say: warnings as text on stderr, without secrets.

    structlog's own default prints everything to stdout, and of an exception
    every local variable. Logs of libraries stay the process's business.
    """
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            _renderer(as_json=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=_to_stderr(),
        cache_logger_on_first_use=False,
    )


def configure_logging(*, level: str = "info", as_json: bool = True) -> None:
    """Send logs to stderr, one JSON object a line (or coloured text), without secrets.

    Libraries' logs take the same way: warnings and worse, at `debug` also what they tell at `info`.

    Args:
        level: debug, info, warning or error.
        as_json: For machines; otherwise text for people.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    finish: list[Processor] = [
        _add_trace,
        structlog.processors.format_exc_info,
        redact,
        _renderer(as_json=as_json),
    ]
    start: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*start, *finish],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_to_stderr(),
        cache_logger_on_first_use=False,
    )
    _route_libraries([*start, structlog.stdlib.add_logger_name], finish, number)


def _to_stderr() -> structlog.WriteLoggerFactory:
    return structlog.WriteLoggerFactory(file=cast("TextIO", _Unfailing(sys.stderr)))


def reset_logging() -> None:
    """As it was before `configure_logging`: structlog's own defaults, and Python's for libraries."""
    structlog.reset_defaults()
    root = logging.getLogger()
    for handler in [found for found in root.handlers if isinstance(found, _Stderr)]:
        root.removeHandler(handler)
    root.setLevel(logging.WARNING)
    logging.captureWarnings(False)


def _renderer(*, as_json: bool) -> Processor:
    if as_json:
        return structlog.processors.JSONRenderer()
    # Exceptions are text already: they had to be, to be looked through for secrets.
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _route_libraries(start: list[Processor], finish: list[Processor], level: int) -> None:
    handler = _Stderr()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=start,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finish],
        )
    )
    root = logging.getLogger()
    root.handlers = [found for found in root.handlers if not isinstance(found, _Stderr)]
    root.addHandler(handler)
    root.setLevel(logging.INFO if level == logging.DEBUG else max(level, _LIBRARY_LEVEL))
    logging.captureWarnings(True)


def _add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    from core.observability.tracing import trace_id  # noqa: PLC0415 - commands log, and trace nothing

    found = trace_id()
    if found:
        event["trace_id"] = found
    return event
