"""Where the configuration and the data of a service stand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.settings.problems import ConfigErrors, ConfigProblem

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

        Raises:
            ConfigErrors: The configuration folder was named and does not exist.
        """
        named = environ.get(CONFIG_VARIABLE)
        config_dir = Path(named or "config").absolute()
        if named and not config_dir.is_dir():
            raise ConfigErrors(
                [
                    ConfigProblem(
                        file=f"environment variable {CONFIG_VARIABLE}",
                        message=f"there is no folder '{named}'",
                        remedy="create it, or unset the variable to read ./config",
                    )
                ]
            )
        return cls(config_dir, Path(environ.get(HOME_VARIABLE) or ".waystation").absolute())
