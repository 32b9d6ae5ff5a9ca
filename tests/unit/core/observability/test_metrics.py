from __future__ import annotations

import pytest

from core.observability import metrics_text, track_duration


def test_a_duration_is_counted_with_its_outcome() -> None:
    with track_duration("test_ok"):
        pass
    with pytest.raises(ValueError, match="boom"), track_duration("test_bad"):
        raise ValueError("boom")
    text = metrics_text().decode()
    assert 'waystation_operation_seconds_count{operation="test_ok",outcome="ok"} 1.0' in text
    assert 'waystation_operation_seconds_count{operation="test_bad",outcome="error"} 1.0' in text
    assert "boom" not in text
