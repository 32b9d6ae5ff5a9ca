"""Where the configuration and the data of a service stand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.installed import from_wheel, shipped
from core.settings.problems import ConfigErrors, ConfigProblem, printable

CONFIG_VARIABLE = "WAYSTATION_CONFIG_DIR"
HOME_VARIABLE = "WAYSTATION_HOME"


@dataclass(frozen=True, slots=True)
class Places:
    """The two folders of a service: what it reads, and what it writes."""

    config_dir: Path
    home: Path

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Places:
        """`WAYSTATION_CONFIG_DIR` (default `./config`) and `WAYSTATION_HOME` (default `./.waystation`).

        Without `./config`, an installed wheel reads the example that it carries: the handbook can be asked.

        Raises:
            ConfigErrors: The configuration folder was named and does not exist, or home is no folder.
        """
        named = environ.get(CONFIG_VARIABLE)
        home = environ.get(HOME_VARIABLE) or ".waystation"
        if named and not os.path.isdir(named):
            remedy = "create it, or unset the variable to read ./config"
            raise _wrong(CONFIG_VARIABLE, f"there is no folder '{printable(named)}'", remedy)
        if os.path.lexists(home) and not os.path.isdir(home):
            raise _wrong(
                HOME_VARIABLE, f"'{printable(home)}' is not a folder", "move it, or set the variable"
            )
        chosen = Path(named or "config").absolute()
        if not named and from_wheel() and not os.path.lexists(chosen):
            chosen = shipped() / "config"
        return cls(chosen, Path(home).absolute())


def _wrong(variable: str, message: str, remedy: str) -> ConfigErrors:
    return ConfigErrors([ConfigProblem(f"environment variable {variable}", message, remedy=remedy)])
