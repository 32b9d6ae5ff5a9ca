from __future__ import annotations

import json

import pytest
import structlog

from core.observability import configure_logging, metrics_text, track_duration


def test_a_duration_is_counted_with_its_outcome() -> None:
    with track_duration("test_ok"):
        pass
    with pytest.raises(ValueError, match="boom"), track_duration("test_bad"):
        raise ValueError("boom")
    text = metrics_text().decode()
    assert 'waystation_operation_seconds_count{operation="test_ok",outcome="ok"} 1.0' in text
    assert 'waystation_operation_seconds_count{operation="test_bad",outcome="error"} 1.0' in text
    assert "boom" not in text


def test_logs_are_one_json_object_a_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="info")
    structlog.get_logger().debug("hidden")
    structlog.get_logger().warning("server died", server="clock")
    out, err = capsys.readouterr()
    line = json.loads(err)
    assert out == ""
    assert (line["event"], line["server"], line["level"]) == ("server died", "clock", "warning")
    structlog.reset_defaults()


def test_logs_for_people_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="debug", as_json=False)
    structlog.get_logger().debug("looking")
    assert "looking" in capsys.readouterr().err
    structlog.reset_defaults()
