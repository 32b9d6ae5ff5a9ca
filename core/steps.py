"""A step of the graph, declared once: what runs, where it stands, and what others have to know of it.

    Step("guard", guard, after="call_model")
    Step("mood", "my_package.mood:Mood", before="retrieve", channels={"mood": str})

The builder, routing, repair, recordings and their replay, the deploy check, Studio and
the reference read this declaration; a step's name stands nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Part = Literal["config", "passages", "model", "tools", "files"]
"""What every turn has, in this order; `tools` stands beside `model` and leads back to it."""
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True, slots=True)
class Step:
    """One step. It says where it stands by exactly one of `after`, `before`, `instead_of` and `part`.

    Args:
        name: One word, unique in the graph; threads that wait in the step have it in their checkpoints.
        run: What runs: a class, an object or function called with `(state)` or `(state, runtime)`, any
            LangChain Runnable, or the name of one of these as `package.module:name`, which a command that
            needs no graph does not import. A class is made by the container, with the services that its
            constructor asks for. It returns what it writes: a mapping of channels, messages, or nothing.
        after: The step that it follows. Behind the model's and the tools' step it runs each time that
            they have: what stands behind the model's sees, and may change, each answer before tools are
            called and before it is kept.
        before: The step in front of which it runs, each time.
        instead_of: The step whose place it takes.
        part: Which part of every turn it is, for the modules that bring these.
        channels: Channels that it brings, each with its type: `Annotated` names the reducer.
        makes: The one of its channels that lives within a turn only (an `UntrackedValue`) and for whose
            sake it stands ahead of the model: it runs again where a turn goes on without that.
        replays: Makes its stand-in when a recording is replayed, called with the recorded writes in their
            order; by default each is written again.
        compares: What of its writes, a mapping of channels, is compared between a recording and its
            replay, as JSON; by default all, messages by kind and text.
    """

    name: str
    run: Any
    after: str = ""
    before: str = ""
    instead_of: str = ""
    part: Part | None = None
    channels: Mapping[str, Any] = field(default_factory=dict)
    makes: str = ""
    replays: Callable[[Sequence[Mapping[str, Any]]], Any] | None = None
    compares: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None

    @property
    def neighbour(self) -> str:
        """The step by which it says where it stands; "" for a part of every turn."""
        return self.after or self.before or self.instead_of
