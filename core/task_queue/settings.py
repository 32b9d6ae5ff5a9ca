"""The section `tasks` of waystation.yaml."""

from __future__ import annotations

from pydantic import Field

from core.settings import Section, Strict

_SCHEMES = r"^(mem|memory|redis|rediss|redis\+sentinel|rediss\+sentinel|unix)://"


class TaskSettings(Strict):
    """Background tasks. The ledger of them is in the database; the queue only wakes workers."""

    url: str = Field(
        "memory://",
        pattern=_SCHEMES,
        description="memory:// for this process alone, or redis://HOST:PORT/NUMBER to wake other processes.",
    )
    namespace: str = Field(
        "waystation",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="Name of the queue in Redis; services with a database each need a name each.",
    )
    worker: bool = Field(
        True, description="The service runs tasks itself; false leaves them to `waystation worker`."
    )
    concurrency: int = Field(4, ge=1, le=100, description="Tasks at once in one process.")
    poll_s: float = Field(
        5.0,
        gt=0,
        le=60,
        description="Seconds between two looks into the ledger; the longest that a lost wake-up costs.",
    )
    lease_s: float = Field(
        15.0,
        ge=1,
        le=300,
        description="Seconds without a sign of life after which a worker is taken for dead.",
    )
    grace_s: float = Field(
        10.0, ge=0, le=600, description="Seconds that running tasks have to end when the process stops."
    )

    @property
    def in_process(self) -> bool:
        return self.url.startswith(("mem://", "memory://"))


SECTION = Section("tasks", TaskSettings)
