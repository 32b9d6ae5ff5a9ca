"""The policies of a service: one target per kind and name, whose breaker outlives its settings."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import structlog

from core.errors import NotFound
from core.events.event import Event
from core.resilience.breaker import State
from core.resilience.events import BreakerClosed, BreakerOpened
from core.resilience.policy import Policy
from core.resilience.settings import Kind, PolicySettings, ResilienceSettings
from core.resilience.status import StatusFile, TargetStatus
from core.resilience.target import Target


class Policies:
    """Hands out policies. All of one target share its breaker and its bound on calls.

    Args:
        publish: Told of breakers that open and close.
        resets: Folder for the states of this process and the requests of
            others (`breakers_folder`); None keeps them to itself.
    """

    def __init__(
        self,
        settings: ResilienceSettings,
        *,
        publish: Callable[[Event], None] = lambda _: None,
        resets: Path | None = None,
    ) -> None:
        self._settings = settings
        self._publish = publish
        self._file = StatusFile(resets) if resets else None
        self._targets: dict[str, Target] = {}
        self._policies: dict[tuple[str, float, int], Policy] = {}

    def of(
        self, kind: Kind, name: str, *, timeout_s: float | None = None, attempts: int | None = None
    ) -> Policy:
        """The policy for a target; the same object each time for the same numbers.

        Args:
            timeout_s: What the target's own entry says of the longest call, in seconds.
            attempts: What it says of the number of tries.
        """
        settings = self._settings.of(kind, name, timeout_s=timeout_s, attempts=attempts)
        target = self._target(kind, name, settings)
        key = (target.key, settings.timeout_s, settings.attempts)
        if key not in self._policies:
            self._policies[key] = Policy(target, settings)
        return self._policies[key]

    def status(self) -> list[TargetStatus]:
        """Every target that was asked for, by kind and name."""
        return [self._targets[key].status() for key in sorted(self._targets)]

    async def reset(self, kind: Kind, name: str) -> None:
        """Close a target's breaker and forget its calls.

        Raises:
            NotFound: No call was made to such a target.
        """
        target = self._targets.get(f"{kind}:{name}")
        if target is None:
            raise NotFound(
                f"no target '{kind}:{name}'; known: {', '.join(sorted(self._targets)) or 'none yet'}"
            )
        target.breaker.reset()

    def hurry(self, kind: Kind, name: str) -> None:
        """Let the next call try a target whose breaker is open: it was started anew, or put right."""
        target = self._targets.get(f"{kind}:{name}")
        if target is not None:
            target.breaker.hurry()

    def retain(self, kind: Kind, names: Collection[str]) -> None:
        """Forget the targets of a kind that are none of `names`: nobody can call them any more.

        An open breaker would otherwise stay open for ever in health and metrics.
        """
        gone = [t for t in self._targets.values() if t.kind == kind and t.name not in names]
        for target in gone:
            del self._targets[target.key]
            self._policies = {key: kept for key, kept in self._policies.items() if key[0] != target.key}
            if target.forget():
                self._publish(BreakerClosed(kind=target.kind, name=target.name))
        if gone and self._file:
            self._file.write(self.status())

    def close(self) -> None:
        """Take this process's states away from the folder."""
        if self._file:
            self._file.remove()

    def _target(self, kind: Kind, name: str, settings: PolicySettings) -> Target:
        key = f"{kind}:{name}"
        if key not in self._targets:
            self._targets[key] = Target(
                kind, name, settings, changed=self._changed, reset_asked=self._reset_asked
            )
        return self._targets[key]

    def _reset_asked(self, target: str, since: float) -> bool:
        return self._file is not None and self._file.reset_asked(target, since)

    def _changed(self, target: Target, before: State) -> None:
        now, reason = target.breaker.state, target.breaker.reason
        log = structlog.get_logger(__name__)
        if now == "open" and before == "closed":
            log.warning("breaker_opened", target=target.key, reason=reason)
            self._publish(BreakerOpened(kind=target.kind, name=target.name, reason=reason))
        elif now == "closed":
            log.info("breaker_closed", target=target.key)
            self._publish(BreakerClosed(kind=target.kind, name=target.name))
        if self._file:
            self._file.write(self.status())
