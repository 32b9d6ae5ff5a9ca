"""How this Waystation was installed: where the things that ship with it stand, and how it is called."""

from __future__ import annotations

import shlex
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Above the packages: the checkout, or the folder that a wheel was installed into.
ROOT = Path(__file__).resolve().parents[1]
# Where a wheel has the handbook, the example configuration and the notebooks; `setup.py` puts them there.
CARRIED = ROOT / "waystation" / "shipped"
# Begins a path of what ships, `waystation:docs/*.md`, in a file that cannot know where that stands.
PREFIX = "waystation:"


def from_wheel() -> bool:
    """False in a checkout."""
    return CARRIED.is_dir()


def shipped() -> Path:
    """The folder with `README.md`, `docs/`, `config/` and `notebooks/`, whatever way it was installed."""
    return CARRIED if from_wheel() else ROOT


def shipped_path(text: str) -> Path | None:
    """Where `waystation:docs/*.md` stands; None for a path that is not of this kind."""
    return shipped() / text.removeprefix(PREFIX) if text.startswith(PREFIX) else None


def installed_version() -> str:
    """Of the package; "0.0.0" in a checkout that was not installed."""
    try:
        return version("waystation")
    except PackageNotFoundError:
        return "0.0.0"


def command(folder: Path = Path()) -> str:
    """What a person types in `folder` to get `waystation` of this installation, quoted for a shell."""
    script = Path(sys.prefix, "bin", "waystation")
    found = shutil.which("waystation")
    if found and script.exists() and Path(found).samefile(script):
        return "waystation"
    if not script.exists():
        return f"{_shown(Path(sys.executable), folder)} -m waystation"
    return _shown(script, folder)


def install_line(extra: str) -> str:
    """What installs an extra. Names no folder: error texts have it."""
    return f"pip install 'waystation[{extra}]'" if from_wheel() else f".venv/bin/pip install -e '.[{extra}]'"


def needs(what: str, extra: str) -> str:
    """What is said of a part whose extra is missing."""
    return f"{what} needs the extra '{extra}': {install_line(extra)}"


def is_missing(error: ModuleNotFoundError, *packages: str) -> bool:
    """Whether one of these packages is not there; any other that is not is a fault."""
    return (error.name or "").partition(".")[0] in packages


def _shown(path: Path, folder: Path) -> str:
    """Relative where it stands below the folder."""
    here = folder.absolute()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
