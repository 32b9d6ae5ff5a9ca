"""Calls to what may fail: a time limit, tries, a circuit breaker and a bound on calls, one owner per target.

policy = policies.of("source", "wiki", timeout_s=10)
answer = await policy.call(lambda: client.search(text))
"""

from typing import TYPE_CHECKING

from core.names import names_from

if TYPE_CHECKING:
    from core.resilience.errors import BreakerOpen, PolicyTimeout, TooBusy
    from core.resilience.events import BreakerClosed, BreakerOpened
    from core.resilience.policy import Policies, Policy
    from core.resilience.settings import Kind, PolicySettings, ResilienceSettings
    from core.resilience.status import TargetStatus, breakers_folder

__all__ = [
    "BreakerClosed",
    "BreakerOpen",
    "BreakerOpened",
    "Kind",
    "Policies",
    "Policy",
    "PolicySettings",
    "PolicyTimeout",
    "ResilienceSettings",
    "TargetStatus",
    "TooBusy",
    "breakers_folder",
]

__getattr__ = names_from(__name__, "settings", "errors", "events", "status", "policy")
