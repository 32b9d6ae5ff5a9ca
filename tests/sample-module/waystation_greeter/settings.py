"""The section `greeter`, and greetings.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from waystation import ConfigFile, Section, Strict


class GreeterSettings(Strict):
    """How people are greeted."""

    word: str = Field("Hello", min_length=1, max_length=40, description="What is said before the name.")
    start: Literal["ready", "refused", "hangs"] = Field(
        "ready", description="How its start goes: to see what a service makes of a module that does not."
    )


class GreetingsFile(Strict):
    """greetings.yaml: words by language."""

    greetings: dict[str, str] = Field(default_factory=dict, description="A word by language, `de` say.")


SECTION = Section("greeter", GreeterSettings)
FILE = ConfigFile("greetings", ("greetings.yaml",), GreetingsFile)
