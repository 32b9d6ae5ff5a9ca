"""Pages of the tests' own origin: built files from a folder each, over HTTP on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.utils import send_file
from werkzeug.wrappers import Request, Response


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        """No access log."""


class Pages:
    """Serves each folder under its name: `add("react", dist)` is at `{url}/react/`.

    Attributes:
        url: The origin, without a path.
    """

    def __init__(self) -> None:
        self.url = ""
        self._folders: dict[str, Path] = {}

    def add(self, name: str, folder: Path) -> str:
        """Serve a folder; gives the address of its page."""
        self._folders[name] = folder.resolve()
        return f"{self.url}/{name}/"

    @contextmanager
    def served(self) -> Iterator[Pages]:
        app = Request.application(self._answer)
        server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def _answer(self, request: Request) -> Response:
        name, _, path = request.path.lstrip("/").partition("/")
        folder = self._folders.get(name)
        found = folder and (folder / (path or "index.html")).resolve()
        if not folder or not found or not found.is_relative_to(folder) or not found.is_file():
            return Response("there is no such page", status=404)
        return send_file(found, request.environ)
