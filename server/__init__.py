"""HTTP and the command line: the only part that knows of status codes."""

from core.imports import watch as _watch

# Here and not in `core`: a program of somebody else's that uses the agent imports as it always did.
_watch()
