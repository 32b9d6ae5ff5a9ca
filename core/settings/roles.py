"""What a process of a fleet does: answer, execute, or both (settings of the section `server`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from core.settings.declare import Named, Strict

Role = Literal["all", "api", "worker"]
Work = Literal["runs", "tasks"]
Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
# The tag of a run for which the settings name none.
UNTAGGED = "default"
_GROUP = "group:"


class RoleSettings(Strict):
    """The part of `server` that says who does what."""

    role: Role = Field(
        "all",
        description="`all` answers and executes; `api` answers, and hands runs to workers; `worker` executes "
        "what others answer. The latter two need PostgreSQL.",
    )
    executes: list[Work] = Field(
        default=["runs", "tasks"],
        min_length=1,
        description="What a `worker` does: runs, background tasks, or both.",
    )
    runs_at_once: int = Field(
        64, ge=1, le=10_000, description="Runs that a process takes up at once; more wait for another one."
    )
    tags: list[Tag] = Field(
        default_factory=list,
        max_length=50,
        description=f"Take up only runs with one of these tags, `{UNTAGGED}` for those without; empty: all.",
    )
    run_tags: dict[str, Tag] = Field(
        default_factory=dict,
        description="Tags of runs, by the name of the model that is asked for, or `group:NAME` of who asks; "
        "the first that fits counts.",
    )
    worker_wait_seconds: float = Field(
        120,
        ge=0,
        le=86_400,
        description="How long a run that somebody waits for on a connection may wait for a worker; then it "
        "fails with `no_worker`. Background runs wait until there is one. 0: they all do.",
    )


@dataclass(frozen=True, slots=True)
class Duty:
    """What this process does about runs.

    Args:
        looks_after: It goes on with runs that nobody executes, within `at_once` and of these `tags`.
        hands_over: It executes none: what is begun here waits for a worker, for so many seconds.
        answers: Callers read here, whose streams end with this process.
    """

    looks_after: bool = False
    hands_over: bool = False
    answers: bool = True
    at_once: int = 64
    tags: frozenset[str] = frozenset()
    wait_s: float = 0.0
    run_tags: Mapping[str, str] | None = None

    @classmethod
    def of(cls, settings: RoleSettings, *, serves: bool) -> Duty:
        """The duty of a process with these settings.

        Args:
            serves: It is a part of the service. A command or a notebook executes what it begins itself.
        """
        executes = settings.role == "all" or (settings.role == "worker" and "runs" in settings.executes)
        return cls(
            looks_after=serves and executes,
            hands_over=serves and not executes,
            answers=not serves or settings.role != "worker",
            at_once=settings.runs_at_once,
            tags=frozenset(settings.tags),
            wait_s=settings.worker_wait_seconds,
            run_tags=dict(settings.run_tags),
        )

    def tag_of(self, model: str, groups: Collection[str]) -> str:
        """The tag of a run that asks for this model, by somebody of these groups; "" for none."""
        for key, tag in (self.run_tags or {}).items():
            if key == model or (key.startswith(_GROUP) and key.removeprefix(_GROUP) in groups):
                return "" if tag == UNTAGGED else tag
        return ""

    @property
    def columns(self) -> list[str] | None:
        """The values of a run's column that this process takes up; None for all."""
        return sorted("" if tag == UNTAGGED else tag for tag in self.tags) or None


def without_effect(settings: RoleSettings) -> tuple[frozenset[str], str]:
    """Settings that change nothing about a process with these, and why."""
    takes_up = frozenset({"runs_at_once", "tags"})
    if settings.role == "api":
        return takes_up | {"executes"}, "an api hands everything to workers"
    if settings.role == "all":
        return frozenset({"executes"}), "the role 'all' executes runs and tasks; choose with --role worker"
    return (frozenset(), "") if "runs" in settings.executes else (takes_up, "this worker takes up no runs")


def runs_tasks(settings: RoleSettings) -> bool:
    """Whether a process of the service with this role runs background tasks, as far as `tasks` lets it."""
    return settings.role == "all" or (settings.role == "worker" and "tasks" in settings.executes)


def models_of_tags(settings: RoleSettings) -> Iterator[Named]:
    """The models that `run_tags` names."""
    for key in settings.run_tags:
        if not key.startswith(_GROUP):
            yield ("run_tags", key), "models", key
