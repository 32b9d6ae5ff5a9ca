"""The section `schedules` of waystation.yaml: turns that begin by the clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from core.choices import Approval, with_choices
from core.settings.declare import Named, Section, Strict


@with_choices
class ScheduledRun(Strict):
    """A turn that begins whenever its time comes, in the background."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,29}$", description="Unique; what tasks and logs call it.")
    cron: str = Field(description='"minute hour day month weekday", in UTC.')
    message: str = Field(min_length=1, max_length=65_536, description="What is said.")
    user: str = Field(min_length=1, max_length=128, description="Whose run it is.")
    groups: list[str] = Field(default_factory=list, description="That user's groups.")
    levels: list[str] = Field(default_factory=list, description='Compliance levels; "*" for all.')
    thread: str = Field(
        "", pattern=r"^[A-Za-z0-9_-]{0,64}$", description="Thread to go on with; empty: a new one each time."
    )
    approval: Approval = Field(
        "deny",
        description="For tools that need a person's word; ask and auto leave the thread waiting, "
        "auto not where mcp.callers_may_lower_approval is on.",
    )
    on_busy: Literal["reject", "enqueue"] = Field(
        "enqueue", description="When the thread has a run going: leave this time out, or wait in line."
    )
    webhook: str | None = Field(None, max_length=2000, description="Told of the end; as in POST runs.")
    enabled: bool = Field(True, description="False keeps the entry and begins nothing.")

    @field_validator("cron")
    @classmethod
    def _is_a_time(cls, value: str) -> str:
        from datetime import UTC, datetime  # noqa: PLC0415 - only where a schedule is written

        from cronsim import CronSim, CronSimError  # noqa: PLC0415 - as above

        try:
            CronSim(value, datetime.now(UTC))
        except CronSimError as error:
            raise ValueError(f"'{value}' is no schedule ({error}); such as '0 7 * * 1-5'") from None
        return value


class ScheduleSettings(Strict):
    """Turns that begin by the clock."""

    runs: list[ScheduledRun] = Field(default_factory=list, description="The scheduled turns.")

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [run.name for run in self.runs]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two scheduled runs are called '{name}'; rename one")
        return self


def _named(settings: ScheduleSettings) -> Iterator[Named]:
    for place, run in enumerate(settings.runs):
        here, chosen = ("runs", place), run.model_dump(include={"model", "sources"})
        if chosen["model"]:
            yield (*here, "model"), "models", chosen["model"]
        for number, source in enumerate(chosen["sources"] or ()):
            if source != "*":
                yield (*here, "sources", number), "sources", source
        if run.webhook and "://" not in run.webhook:
            yield (*here, "webhook"), "hooks", run.webhook


SECTION = Section("schedules", ScheduleSettings, names=_named)
