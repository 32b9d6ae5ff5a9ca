"""What must be there of a thread: the model that the state machine holds against the service."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Expected:
    """A thread as its user knows it.

    Args:
        said: Ids of the messages that must stand in the transcript, in order.
        queue: Ids that wait for the thread, the next first.
        holding: Id of the message whose answer is held back: its run is going.
        asking: Id of the message whose tool waits for a person.
        runs: Run by message id.
        stopped: Run that a death has stopped, if it is the newest.
    """

    name: str
    said: list[str] = field(default_factory=list)
    queue: list[str] = field(default_factory=list)
    holding: str = ""
    asking: str = ""
    runs: dict[str, str] = field(default_factory=dict)
    stopped: str = ""
    # The last message may be missing in the state until the next turn brings it in.
    behind: bool = False
    # Arguments of calls that a person allowed, and those that nobody did.
    allowed: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)

    @property
    def free(self) -> bool:
        """The next message is taken at once."""
        return not self.holding and not self.asking

    @property
    def status(self) -> str:
        if self.holding:
            return "running"
        return "interrupted" if self.asking else "idle"

    def takes(self, message: str) -> None:
        """A turn begins with this message."""
        self.said.append(message)
        self.stopped = ""
        self.behind = False

    def goes_on(self) -> None:
        """The thread has become free: who waits has its turn, one after the other."""
        self.holding = self.asking = ""
        for message in self.queue:
            self.takes(message)
        self.queue.clear()

    def copy_as(self, name: str) -> Expected:
        """What a fork of the thread is."""
        return Expected(name, said=list(self.said), behind=self.behind)
