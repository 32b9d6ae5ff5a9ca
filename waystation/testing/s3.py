"""A real S3 API on loopback: moto's server in a thread of this process.

    with S3Server() as server:
        client = S3StorageClient(server.settings("my-bucket"))

Buckets live as long as the process; give each test one of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from pydantic import SecretStr
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.test import Client

from nodes.file_storage.settings import S3Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Hook = Callable[["WSGIEnvironment"], None]

ACCESS_KEY = "test-access-key"
SECRET_KEY = "test-secret-key"
# By this moto knows which of its services is asked.
SIGNED = f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/us-east-1/s3/aws4_request"


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  # werkzeug's name
        """No access log in the tests' output."""


REPLACED = b"<Error><Code>PreconditionFailed</Code><Message>It was replaced.</Message></Error>"


class _LikeS3:
    """Where moto differs from S3, as S3 documents it.

    Requests are answered one after the other: two uploads to one key at once
    make moto close the first one's content while it is still being hashed, and
    answer 500. And `x-amz-copy-source-if-match` is obeyed, which moto ignores.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._lock = threading.Lock()
        self.hook: Hook | None = None

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if self.hook is not None:
            self.hook(environ)
        with self._lock:
            if self._was_replaced(environ):
                start("412 Precondition Failed", [("content-type", "application/xml")])
                return [REPLACED]
            return list(self._app(environ, start))

    def _was_replaced(self, environ: WSGIEnvironment) -> bool:
        wanted = environ.get("HTTP_X_AMZ_COPY_SOURCE_IF_MATCH")
        if wanted is None:
            return False
        source = "/" + environ["HTTP_X_AMZ_COPY_SOURCE"].lstrip("/")
        signed = {"Authorization": environ["HTTP_AUTHORIZATION"]}
        answer = Client(self._app).head(source, base_url=f"http://{environ['HTTP_HOST']}", headers=signed)
        return bool(answer.headers.get("ETag") != wanted)


class S3Server:
    """Listens on a free port between `__enter__` and `__exit__`.

    Args:
        address: Where it listens.
    """

    def __init__(self, *, address: str = "127.0.0.1") -> None:
        self._address = address
        self._app = _LikeS3(DomainDispatcherApplication(create_backend_app))
        self._server: BaseWSGIServer = make_server(
            address, 0, self._app, threaded=True, request_handler=_Quiet
        )
        self._thread = threading.Thread(target=self._server.serve_forever, name="moto-s3", daemon=True)

    def before_each_request(self, hook: Hook | None) -> None:
        """Call `hook` with the WSGI environment before a request is answered; None for no more."""
        self._app.hook = hook

    @property
    def url(self) -> str:
        """The endpoint for clients."""
        return f"http://{self._address}:{self._server.server_port}"

    def settings(self, bucket: str, **others: Any) -> S3Settings:
        """Settings that reach this server; the bucket is created when first written to."""
        values: dict[str, Any] = {
            "bucket": bucket,
            "endpoint_url": self.url,
            "access_key_id": SecretStr(ACCESS_KEY),
            "secret_access_key": SecretStr(SECRET_KEY),
            "create_bucket": True,
            "connections": 4,
        }
        return S3Settings(**{**values, **others})

    def environ(self, bucket: str) -> dict[str, str]:
        """The same as environment variables, for processes."""
        return {
            "WAYSTATION_FILE_STORAGE__BACKEND": "s3",
            "WAYSTATION_FILE_STORAGE__S3__BUCKET": bucket,
            "WAYSTATION_FILE_STORAGE__S3__ENDPOINT_URL": self.url,
            "WAYSTATION_FILE_STORAGE__S3__ACCESS_KEY_ID": ACCESS_KEY,
            "WAYSTATION_FILE_STORAGE__S3__SECRET_ACCESS_KEY": SECRET_KEY,
            "WAYSTATION_FILE_STORAGE__S3__CREATE_BUCKET": "true",
        }

    def __enter__(self) -> Self:
        # moto loads what it knows of S3 at the first request: no test's time limit should meet that.
        Client(self._app).get("/", base_url=self.url, headers={"Authorization": SIGNED})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
