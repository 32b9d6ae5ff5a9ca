"""A retrieval service in a process of its own: discovery, v1 and v2 queries, embeddings and reranking.

`python -m waystation.testing.rag_server_app` listens on a free loopback port and prints
`{"port": N}`. Tests use `RagServer`:

    with RagServer(token="secret") as server:
        server.behave(shape="older")
        ... point an http source at server.url ...
        assert server.requests()[-1]["as_user"] == "ada"

Its corpus is `CORPUS`: collection `handbook` is open to everyone, `payroll`
only to users whose name begins with `boss`. The server side is in
`rag_server_app`.
"""

from __future__ import annotations

import time
from typing import Any

from waystation.testing.process import ServerProcess

CORPUS: dict[str, dict[str, str]] = {
    "handbook": {
        "leave.md": "Every employee has thirty days of annual leave. Leave is requested in the portal.",
        "travel.md": "Train journeys are booked in second class. Receipts are kept for one year.",
        "security.md": "Passwords are rotated every ninety days. Laptops are encrypted with a hardware key.",
    },
    "payroll": {"salaries.md": "Salaries are paid on the last working day of the month."},
}


class RagServer(ServerProcess):
    """Starts the server process, and talks to its control routes.

    The vectors of the model `wide` have twice as many numbers as those of every other one.

    Args:
        token: Bearer token that the retrieval routes ask for; empty: none.
    """

    def __init__(self, *, token: str = "") -> None:
        super().__init__("waystation.testing.rag_server_app", "--token", token)

    def behave(self, **how: Any) -> None:
        """Change how it answers from now on; without arguments, back to normal.

        `shape` newer or older (v1), data or logits (reranking), `discovery` list or object, `fault` one of
        hang, status, text, wrong or huge, `status` the code of fault
        `status`, `retry_after` its header, `only` the route that the fault is
        for (discover, query, embeddings or rerank; empty: all), `percent` how many of
        these requests it hits, evenly spread (100), `wide` the vectors of every model as those of the
        model `wide` are, `vectors` base64, unnumbered, fewer, twice, uneven or empty, `most` how many
        texts are taken at once and `longest` how many characters each may have.
        """
        self.ask("POST", "/control/behave", how)

    def requests(self) -> list[dict[str, Any]]:
        """The requests so far: route, as_user, token, the body or the query parameters, and the headers."""
        found: list[dict[str, Any]] = self.ask("GET", "/control/requests")
        return found

    def forget(self) -> None:
        """Empty the list of requests and behave as at the start."""
        self.ask("POST", "/control/forget")

    def wait_for_requests(self, count: int, *, seconds: float = 10.0) -> None:
        """Return once `count` requests have come in."""
        deadline = time.monotonic() + seconds
        while len(self.requests()) < count:
            assert time.monotonic() < deadline, f"fewer than {count} requests within {seconds} s"
