"""The environment of a server's process: an allow list of ours, and what its entry says."""

from __future__ import annotations

from collections.abc import Mapping

_PEOPLE = ("HOME", "LOGNAME", "SHELL", "TERM", "USER", "USERNAME", "USERPROFILE")
_PLACES = ("LANG", "LANGUAGE", "PATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "TEMP", "TMP", "TMPDIR", "TZ")
_WINDOWS = ("APPDATA", "COMSPEC", "LOCALAPPDATA", "PATHEXT", "SYSTEMDRIVE", "SYSTEMROOT")
_ALLOWED = frozenset({*_PEOPLE, *_PLACES, *_WINDOWS})


def child_environment(ours: Mapping[str, str], entry: Mapping[str, str]) -> dict[str, str]:
    """Nothing secret passes: keys, PYTHONPATH and the rest of `ours` stay with us."""
    kept = {k: v for k, v in ours.items() if k.upper() in _ALLOWED or k.startswith("LC_")}
    return {**kept, **entry}
