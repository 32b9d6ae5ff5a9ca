"""The application of one of several workers, for uvicorn: nothing is imported before the collector knows."""

# ruff: noqa: E402 - see above
from core.collecting import load

load()

from server.serve import app_from_environ

__all__ = ["app_from_environ"]
