"""Signals between the processes of one database: "look at X", so that nobody has to poll.

    async with opened_signals(database_url(storage, places), places) as signals:
        with signals.listen(f"run:{run_id}") as news:
            while not over(await read_events(run_id)):
                await news.heard(timeout=SWEEP_SECONDS)

The database is the truth. A signal carries a topic and no content, and one that
gets lost costs time only: listen first, then read, then wait.
"""

from core.signals.opening import opened_signals
from core.signals.signals import LONGEST_TOPIC, Listener, Signals

__all__ = ["LONGEST_TOPIC", "Listener", "Signals", "opened_signals"]
