"""A scripted OpenAI-compatible server in a process of its own.

`python -m waystation.testing.model_server` listens on a free loopback port and prints
`{"port": N}`. Tests use `ModelServer`:

    with ModelServer() as server:
        server.script(say("Hello"), match="greet")
        server.script(call("calculator_add", {"a": 5, "b": 3}), say("8"))
        ... point a client at server.url ...
        assert server.requests()[0]["messages"][-1]["content"] == "greet"

A request takes the first queued script whose `match` is empty or stands in its
last user message; with nothing queued it gets the default reply. Like OpenAI,
it answers 400 to assistant tool calls that are not all answered right after.
`ModelServer(rules="mistral")` refuses what Mistral refuses and answers as it
does; `server.at("mistral")` is a base URL of the same server that does so.
`server.misbehave(fail=0.6)` makes it a bad dependency until `server.behave()`.
The server side is in `model_server_app`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from waystation.testing.model_server_raw import raw
from waystation.testing.process import ServerProcess

__all__ = ["ModelServer", "Script", "call", "calls", "hang", "raw", "refuse", "say"]

Script = dict[str, Any]


def say(text: str, **more: Any) -> Script:
    """Stream `text` word by word.

    `more` may hold `reasoning`, `usage` {prompt_tokens, completion_tokens},
    `finish_reason` (None: leave it out), `done` (False: no `[DONE]`), `cut_after` N, `error_after` N or
    `hang_after` N (after N text deltas: drop the connection, send an error
    object, or stay silent until released).
    """
    return {"text": text, **more}


def call(name: str, arguments: Mapping[str, Any] | str, **more: Any) -> Script:
    """One tool call; `arguments` as a string are sent as they are, even malformed."""
    return calls((name, arguments), **more)


def calls(*wanted: tuple[str, Mapping[str, Any] | str], **more: Any) -> Script:
    """Several tool calls in one message, their arguments split over chunks.

    `ids` in `more` gives the calls' ids ("" leaves one out); `text` is said before.
    """
    listed = [
        {"name": name, "arguments": args if isinstance(args, str) else json.dumps(args)}
        for name, args in wanted
    ]
    return {"tool_calls": listed, **more}


def refuse(status: int, *, retry_after: float | None = None, code: str = "scripted") -> Script:
    """An HTTP error before the first token."""
    return {"status": status, "retry_after": retry_after, "code": code}


def hang() -> Script:
    """Headers, then silence until `release()` or a closed connection."""
    return {"text": "", "hang_after": 0}


class ModelServer(ServerProcess):
    """Starts the server process, and talks to its control routes; `url` ends with `/v1`."""

    def __init__(
        self, *, default: str = "Scripted reply.", model: str = "scripted-1", rules: str = ""
    ) -> None:
        words = ("--default", default, "--model", model, "--rules", rules)
        super().__init__("waystation.testing.model_server_app", *words, path="/v1")

    def at(self, rules: str, path: str = "v1") -> str:
        """A base URL where the rules of that endpoint hold, see `endpoint_rules`."""
        return f"{self.url.removesuffix('/v1')}/{rules}/{path}"

    def script(self, *replies: Script, match: str = "") -> None:
        """Queue replies; with `match`, only for requests whose last user message contains it."""
        for reply in replies:
            self._post("/control/script", {"match": match, **reply})

    def requests(self) -> list[dict[str, Any]]:
        """The bodies of the chat requests so far, oldest first."""
        found: list[dict[str, Any]] = self._get("/control/requests")["requests"]
        return found

    def headers(self) -> list[dict[str, str]]:
        """The headers of the chat requests so far."""
        found: list[dict[str, str]] = self._get("/control/requests")["headers"]
        return found

    def active(self) -> int:
        """Streams that are open now."""
        found: int = self._get("/control/requests")["active"]
        return found

    def wait_for_requests(self, count: int, *, seconds: float = 10.0) -> None:
        """Return when `count` chat requests have arrived."""
        self._wait("requests", count, seconds)

    def wait_for_active(self, count: int, *, seconds: float = 10.0) -> None:
        """Return when exactly `count` streams are open."""
        self._wait("active", count, seconds)

    def release(self) -> None:
        """Let every hanging stream go on to its end."""
        self._post("/control/release", {})

    def reset(self) -> None:
        """Forget scripts and requests, and release what hangs."""
        self._post("/control/reset", {})

    def misbehave(self, **shares: float) -> None:
        """Hit this share of the chat requests (0 to 1) until `behave()`: `hang`, `fail` (503) or `cut`.

        `hang` never answers, `cut` breaks the answer off after its first word,
        and `mute` leaves the list of models unanswered too. `seed` makes
        another order of good and bad ones.
        """
        self._post("/control/misbehave", shares)

    def behave(self) -> None:
        """End `misbehave`; what hangs gets a 503."""
        self._post("/control/misbehave", {})

    def configure(self, **values: Any) -> None:
        """Change `default` (reply text), `model`, `models_status`, `delay`, `rules` or `context`.

        `delay` is in seconds between deltas; `context` the most characters of messages that an endpoint
        with rules takes.
        """
        self._post("/control/configure", values)

    def _wait(self, what: str, count: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        body = {"what": what, "count": count, "seconds": seconds}
        if not self._post("/control/wait", body)["met"]:
            raise AssertionError(f"{what} did not reach {count} by {deadline:.0f}")

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self.ask("POST", path, dict(body))

    def _get(self, path: str) -> Any:
        return self.ask("GET", path)


if __name__ == "__main__":
    from waystation.testing.model_server_app import main

    main()
