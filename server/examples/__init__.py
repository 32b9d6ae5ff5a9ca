"""An example of every route's request and answer, one file per subject; `server.openapi` puts them in.

`tests/docs/test_openapi_examples.py` wants one for every route, and sends them to a
real service: what stands here is what is answered.
"""

from __future__ import annotations

from collections.abc import Mapping

from server.examples.catalogue import CATALOGUE
from server.examples.console import CONSOLE
from server.examples.files import FILES
from server.examples.form import EVENT_STREAM, Example
from server.examples.langserve import LANGSERVE
from server.examples.operators import OPERATORS
from server.examples.parts import PARTS
from server.examples.retrieval import RETRIEVAL
from server.examples.runs import RUNS
from server.examples.threads import THREADS

__all__ = ["EVENT_STREAM", "EXAMPLES", "Example"]

EXAMPLES: Mapping[tuple[str, str], Example] = {
    **LANGSERVE,
    **THREADS,
    **RUNS,
    **FILES,
    **CATALOGUE,
    **PARTS,
    **RETRIEVAL,
    **OPERATORS,
    **CONSOLE,
}
"""By method and path, as the route table has them: ("POST", "/threads")."""
