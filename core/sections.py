"""The sections of waystation.yaml that belong to the service as a whole; imports nothing but settings."""

from __future__ import annotations

from core.cache.settings import SECTION as CACHE
from core.events.settings import SECTIONS as EVENTS
from core.resilience.settings import SECTION as RESILIENCE
from core.settings.platform import MODULES
from core.settings.platform import SECTIONS as BASE
from core.settings.schedules import SECTION as SCHEDULES
from core.task_queue.settings import SECTION as TASKS

SECTIONS = (*BASE, MODULES, *EVENTS, RESILIENCE, CACHE, TASKS, SCHEDULES)
