"""Names of a package that are imported when they are asked for (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any


def names_from(package: str, *modules: str) -> Callable[[str], Any]:
    """A `__getattr__` for a package: what its `__all__` names comes from these modules, when it is asked for.

    So a declaration in `package.module` is read without the services beside it. The first of the modules that
    has a name gives it: those that cost least come first.
    """

    def named(name: str) -> Any:
        if name in sys.modules[package].__all__:
            for module in modules:
                found = vars(importlib.import_module(f"{package}.{module}"))
                if name in found:
                    return found[name]
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return named
