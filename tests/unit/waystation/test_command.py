"""The command before any command of it is known."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from waystation.__main__ import INTERRUPTED, main


def test_ctrl_c_while_it_loads_ends_it_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Loading(ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "server.cli.main", Loading("server.cli.main"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == INTERRUPTED
    assert capfd.readouterr() == ("", "")
