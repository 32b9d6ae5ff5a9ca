"""What every module leans on; knows no module."""

from core.imports import watch as _watch

_watch()
