"""Reads documents in a process of its own, within limits of time and memory."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from threading import Lock
from types import TracebackType

from core.installed import ROOT
from nodes.rag.reading.extract import Extract, Unreadable
from nodes.rag.reading.text_cache import TextCache

SECONDS = 60.0
MEMORY_BYTES = 1_500_000_000
_MOST_ANSWER = 200_000_000
_GRACE = 2.0
_BROKE = "its reader broke down over it"
_BEGIN = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from nodes.rag.adapters.documents.child import main; main(int(sys.argv[2]))"
)


class Extractor:
    """One process, started for the first document and again after one that it did not survive.

    Blocks: call it from a thread. Ends its process with `close`, or as a context manager.

    Args:
        seconds: For one document.
        memory: Bytes of address space of the process.
        kept: Knows what was taken out of documents before; None: each is read.
    """

    def __init__(
        self, *, seconds: float = SECONDS, memory: int = MEMORY_BYTES, kept: TextCache | None = None
    ) -> None:
        self._seconds = seconds
        self._memory = memory
        self._kept = kept
        self._process: subprocess.Popen[bytes] | None = None
        self._one = Lock()

    def __enter__(self) -> Extractor:
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Of its process; None before the first document and after the end."""
        return self._process.pid if self._process else None

    def extract(self, path: Path, kind: str, *, max_bytes: int, digest: str = "") -> Extract:
        """What stands in a document.

        Args:
            digest: SHA-256 of its content, by which it is known from before; "" to read it in any case.

        Raises:
            Unreadable: It cannot be read, or not within the limits.
        """
        known = self._known(path, kind, max_bytes, digest)
        if known is not None:
            return known
        job = {
            "kind": kind,
            "path": str(path.absolute()),
            "most": max_bytes,
            "seconds": self._seconds + _GRACE,
        }
        with self._one:
            answer = json.loads(self._asked(json.dumps(job).encode() + b"\n"))
        if "error" in answer:
            raise Unreadable(answer["error"])
        found = Extract.from_json(answer)
        if self._kept is not None:
            # By what was read, not by what was looked at before: it may have changed in between.
            self._kept.keep(answer["digest"], kind, found)
        return found

    def _known(self, path: Path, kind: str, most: int, digest: str) -> Extract | None:
        if self._kept is None or not digest:
            return None
        try:
            return self._kept.find(digest, kind) if path.stat().st_size <= most else None
        except OSError:
            return None

    def close(self) -> None:
        """End the process; the next document starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()

    def _asked(self, line: bytes) -> bytes:
        process = self._process or self._started()
        stdin, stdout = process.stdin, process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the process was started without pipes")
        try:
            stdin.write(line)
            stdin.flush()
            return self._line(stdout.fileno())
        except BrokenPipeError:
            self.close()
            raise Unreadable(_BROKE) from None
        except Unreadable:
            self.close()
            raise

    def _line(self, stream: int) -> bytes:
        """One line of the process, within the time."""
        parts: list[bytes] = []
        size, deadline = 0, time.monotonic() + self._seconds
        while True:
            ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise Unreadable(f"reading it takes longer than {self._seconds:g} s")
            part = os.read(stream, 1 << 20)
            if not part:
                raise Unreadable(_BROKE)
            parts.append(part)
            size += len(part)
            if part.endswith(b"\n"):
                return b"".join(parts)
            if size > _MOST_ANSWER:
                raise Unreadable("it is too much text")

    def _started(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-I", "-c", _BEGIN, str(ROOT), str(self._memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self._process
