"""A command of ours that is killed at the last moment before a folder would get its name.

python -m tests.kit.dying backup /backups/monday
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from server.cli.main import main


def _die(*_: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    Path.rename = _die  # type: ignore[method-assign, assignment]
    main()
