"""Greetings for later."""

from __future__ import annotations

from pydantic import BaseModel

from waystation import Task, TaskContext
from waystation_greeter.greeter import Greeter


class Whom(BaseModel):
    """The person's id, and the language ("" for the usual word)."""

    user: str
    language: str = ""


async def _greet(whom: Whom, context: TaskContext) -> None:
    greeter = await context.container.get(Greeter)
    greeter.greet(whom.user, language=whom.language)
    await context.progress(1, 1, "greeted")


GREET_LATER = Task("greet_later", Whom, _greet, deadline_s=10)
