"""Headers and ranges."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nodes.file_storage.delivery import (
    RangeNotSatisfiable,
    disposition,
    download_headers,
    is_known,
    parse_range,
)
from nodes.file_storage.models import FileInfo


def test_a_name_of_any_letters_fits_into_a_header() -> None:
    header = disposition('日本 "x"%.txt')
    assert (
        header == "attachment; filename=\"__ _x__.txt\"; filename*=UTF-8''%E6%97%A5%E6%9C%AC%20%22x%22%25.txt"
    )


def test_a_browser_is_told_not_to_run_the_content() -> None:
    info = FileInfo("k", "a.html", 3, "text/html", "abc", datetime.now(UTC), "user", None, {}, "ada")
    headers = download_headers(info)
    assert headers["content-type"] == "text/html"
    assert headers["etag"] == '"abc"'
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"].startswith("attachment")
    assert "sandbox" in headers["content-security-policy"]


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (None, None),
        ("", None),
        ("bytes=0-", (0, 100)),
        ("bytes=10-19", (10, 20)),
        ("bytes=90-500", (90, 100)),
        ("bytes=-30", (70, 100)),
        ("bytes=-300", (0, 100)),
        ("bytes=-", None),
        ("bytes=9-3", None),
        ("bytes=0-1,5-6", None),
        ("lines=0-1", None),
        ("Bytes=0-1", (0, 2)),
        ("bytes=٣-", None),
        ("bytes=0-" + "9" * 5000, (0, 100)),
        ("bytes=-" + "9" * 5000, (0, 100)),
    ],
)
def test_one_range_of_bytes_is_understood(header: str | None, part: tuple[int, int] | None) -> None:
    assert parse_range(header, 100) == part


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=500-600", "bytes=-0", f"bytes={'9' * 5000}-"])
def test_a_range_outside_is_refused(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable, match="100 bytes"):
        parse_range(header, 100)


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (None, False),
        ("", False),
        ('"abc"', True),
        ('W/"abc"', True),
        ('"x", W/"y" ,"abc"', True),
        ("*", True),
        ('"x"', False),
        ("abc", False),
        ('"ab', False),
    ],
)
def test_a_client_that_has_the_content_says_so_by_one_of_its_tags(header: str | None, known: bool) -> None:
    assert is_known(header, '"abc"') is known
