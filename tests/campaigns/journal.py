"""What clients sent and what was acknowledged of it, told apart from what the service stored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Sent:
    """A message. `state` is tried, acknowledged, refused or answered; `resent` that it was sent again."""

    id: str
    kind: str
    thread: str
    client: int
    how: str
    key: str | None = None
    state: str = "tried"
    resent: bool = False
    run_id: str = ""

    @property
    def text(self) -> str:
        return f"{self.id} {self.kind}"

    @property
    def must_stand(self) -> bool:
        """It was acknowledged."""
        return self.state in ("acknowledged", "answered")

    def acknowledge(self, run_id: str = "") -> None:
        if self.state == "tried":
            self.state = "acknowledged"
        self.run_id = run_id or self.run_id

    def end(self, status: str) -> None:
        """Its run has told its end. A shutdown that interrupts it leaves a thread to be looked at."""
        if status != "interrupted":
            self.state = "answered"


@dataclass
class Journal:
    """Messages in the order in which each client sent them."""

    sent: list[Sent] = field(default_factory=list)

    def add(self, sent: Sent) -> Sent:
        self.sent.append(sent)
        return sent

    def of(self, thread: str) -> list[Sent]:
        return [sent for sent in self.sent if sent.thread == thread]

    def open(self) -> list[Sent]:
        """What had no answer when the service died."""
        return [sent for sent in self.sent if sent.state in ("tried", "acknowledged")]

    def counted(self) -> dict[str, int]:
        return {"sent": len(self.sent), "acknowledged": sum(sent.must_stand for sent in self.sent)}


def compare(journal: Iterable[Sent], stored: list[str], *, place: str) -> list[str]:
    """What is wrong with the ids of a thread's user messages as they are stored at `place`."""
    sent = list(journal)
    known = {each.id for each in sent}
    wrong = [f"{place}: {name} stands {stored.count(name)} times" for name in doubled(stored)]
    wrong += [f"{place}: {name} was never sent here" for name in stored if name not in known]
    for each in sent:
        if each.must_stand and each.id not in stored:
            wrong.append(f"{place}: {each.id} ({each.how}) was acknowledged and is lost")
        if each.state == "refused" and each.id in stored:
            wrong.append(f"{place}: {each.id} ({each.how}) was refused and is there")
    for client in {each.client for each in sent}:
        # What was sent again after a death has its place where either of the two came in.
        ordered = [each.id for each in sent if each.client == client and not each.resent]
        found = [name for name in stored if name in ordered]
        if found != [name for name in ordered if name in found]:
            wrong.append(f"{place}: the messages of client {client} changed their order: {found}")
    return wrong


def doubled(names: Iterable[str]) -> list[str]:
    """Those that are there more than once."""
    seen: set[str] = set()
    twice: list[str] = []
    for name in names:
        if name in seen and name not in twice:
            twice.append(name)
        seen.add(name)
    return twice
