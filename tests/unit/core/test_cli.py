from __future__ import annotations

import errno
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from core.cli import (
    JsonFlag,
    command,
    fail,
    loading_app,
    make_app,
    print_fields,
    print_json,
    print_table,
    progress_bar,
    show,
)
from core.errors import ConfigInvalid, NotFound
from core.settings import ConfigErrors, ConfigProblem

app = make_app("demo", "A command line to try.")


@app.command()
@command
async def find(name: str, as_json: JsonFlag = False) -> None:
    """Find a thing."""
    if name == "gone":
        raise NotFound("no thing 'gone'; known: hat")
    if name == "stop":
        raise KeyboardInterrupt
    if name == "full":
        raise OSError(errno.ENOSPC, "No space left on device", "/private/file")
    if name == "bug":
        raise ValueError("a fault of ours")
    if as_json:
        print_json({"name": name})
    else:
        print_fields({"name": name, "colour": "red"})


@pytest.fixture
def run() -> CliRunner:
    return CliRunner()


def test_an_error_is_one_line_on_stderr_and_exit_code_1(run: CliRunner) -> None:
    result = run.invoke(app, ["find", "gone"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "not_found: no thing 'gone'; known: hat\n"


def test_g2_2_a_full_disk_is_one_line_too(run: CliRunner) -> None:
    result = run.invoke(app, ["find", "full"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "storage_unavailable: the disk is full; try again when that is mended\n"
    assert isinstance(run.invoke(app, ["find", "bug"]).exception, ValueError)


def test_wrong_usage_is_exit_code_2(run: CliRunner) -> None:
    assert run.invoke(app, ["fnd"]).exit_code == 2


def test_an_interrupt_is_exit_code_130(run: CliRunner) -> None:
    assert run.invoke(app, ["find", "stop"]).exit_code == 130


def test_json_is_for_machines_and_fields_are_for_people(run: CliRunner) -> None:
    assert json.loads(run.invoke(app, ["find", "hat", "--json"]).stdout) == {"name": "hat"}
    assert run.invoke(app, ["find", "hat"]).stdout == "name:   hat\ncolour: red\n"


def test_every_problem_of_a_configuration_has_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    problems = [ConfigProblem("a.yaml", "is empty"), ConfigProblem("b.yaml", "is odd", "k", 3)]
    with pytest.raises(typer.Exit) as left:
        fail(ConfigErrors(problems))
    assert left.value.exit_code == 1
    assert capsys.readouterr().err.splitlines() == [
        "config_invalid: a.yaml: is empty",
        "config_invalid: b.yaml:3: k: is odd",
    ]


def test_json_takes_what_the_fast_encoder_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"big": 2**70, "path": Path("x")})
    assert json.loads(capsys.readouterr().out) == {"big": 2**70, "path": "x"}


def test_a_row_is_a_line_in_a_pipe_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "text"), [("a", "x" * 300), ("b", None)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "x" * 300 in lines[1]


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name",), [], empty="no files")
    assert capsys.readouterr().out == "(no files)\n"


def told(capsys: pytest.CaptureFixture[str], value: object, **how: Any) -> str:
    show(value, as_json=False, **how)
    return capsys.readouterr().out


def test_a_value_is_shown_as_json_or_as_people_read_it(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "hat", "tags": ["a", "b"]}, {"name": "coat"}]
    assert "hat   a, b" in told(capsys, rows, table=("name", "tags"))
    assert "1  2" in told(capsys, rows, table=("x", "y"), rows=[(1, 2)])
    assert told(capsys, [], table=("name",), empty="no hats") == "(no hats)\n"
    assert told(capsys, rows, text="two things") == "two things\n"
    assert told(capsys, {"name": "hat"}) == "name: hat\n"
    assert told(capsys, rows, people=lambda: print("well")) == "well\n"
    show(rows, as_json=True, text="two things")
    assert json.loads(capsys.readouterr().out) == rows


def test_a_group_of_commands_is_imported_when_it_is_used(
    run: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late_group.py").write_text(
        "from core.cli import make_app\n"
        "app = make_app('late')\n"
        "@app.callback()\n"
        "def before(loud: bool = False): print('listen' if loud else 'hm')\n"
        "@app.command()\n"
        "def hello(): print('hello')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    whole = make_app("whole")
    whole.add_typer(loading_app("late_group:app", "What comes late."), name="late")
    assert "What comes late." in run.invoke(whole, ["--help"]).stdout
    assert "late_group" not in sys.modules
    assert "hello" in run.invoke(whole, ["late", "--help"]).stdout
    assert run.invoke(whole, ["late", "hello"]).stdout == "hm\nhello\n"
    assert run.invoke(whole, ["late", "--loud", "hello"]).stdout == "listen\nhello\n"
    assert run.invoke(whole, ["late", "nothing"]).exit_code == 2
    del sys.modules["late_group"]


def test_a_group_that_cannot_be_imported_is_one_line(run: CliRunner) -> None:
    whole = make_app("whole")
    whole.add_typer(loading_app("nobody_has_it:app", "Lost."), name="lost")
    assert run.invoke(whole, ["--help"]).exit_code == 0
    error = run.invoke(whole, ["lost", "x"]).exception
    assert isinstance(error, ConfigInvalid)
    assert "the commands 'nobody_has_it:app' cannot be loaded: No module named" in error.detail


def test_progress_is_drawn_on_a_terminal_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def counted() -> str:
        with progress_bar("indexing") as tell:
            tell(1, 2, "a.md")
            tell(2, 2, "b.md")
        return capsys.readouterr().err

    assert counted() == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "indexing" in counted()
