"""Our folders have common names: whether `core`, say, is ours, asked before anything of it is imported."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

# The folder that our packages stand in: a checkout, or the site-packages that a wheel went to.
HOUSE = Path(__file__).resolve().parents[1]
ROOMS = ("core", "graph", "nodes", "server", "tools")


class Shadowed(ImportError):
    """Python finds another package under the name of one of ours."""


def check() -> None:
    """Look where Python finds each of our packages; imports none.

    Raises:
        Shadowed: It finds somebody else's; the text names both. The command says it in a line and ends.
    """
    problem = next(filter(None, map(_problem, ROOMS)), "")
    if problem and _is_command():
        print(f"shadowed: {problem}", file=sys.stderr)
        sys.exit(1)
    if problem:
        raise Shadowed(problem)


def _is_command() -> bool:
    """True in `waystation` and `python -m waystation`: both import the package first."""
    return Path(sys.argv[0]).name in {"waystation", "-m"}


def _problem(name: str) -> str:
    ours, theirs = HOUSE / name, _place(name)
    if theirs == ours:
        return ""
    if theirs is None:
        return f"Python does not find '{name}' of Waystation, which is {ours}: install it again"
    return (
        f"'{name}' is {theirs} here, which hides Waystation's own {ours}: rename or move it, "
        f"or take its folder out of the paths that Python looks in"
    )


def _place(name: str) -> Path | None:
    """The folder or the file that `import name` takes; None where there is nothing."""
    spec = _spec(name)
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    found = folders[0] if folders else spec.origin
    return Path(found).resolve() if found else None


def _spec(name: str) -> ModuleSpec | None:
    try:
        return find_spec(name)
    except ValueError:  # what is imported already has lost its spec, as modules made by hand have none
        loaded = getattr(sys.modules[name], "__file__", None)
        return ModuleSpec(name, None, origin=loaded or "a module made in this process")
