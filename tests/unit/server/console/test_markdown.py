"""Markdown as HTML that a page may show."""

from __future__ import annotations

import pytest

from server.console.markdown import MOST_OF_A_TEXT, as_html, rendered

ELSEWHERE = 'target="_blank" rel="noopener noreferrer nofollow"'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**a** *b* ~~c~~ `d`", "<p><strong>a</strong> <em>b</em> <s>c</s> <code>d</code></p>\n"),
        ("[a](https://a.example/x)", f'<p><a href="https://a.example/x" {ELSEWHERE}>a</a></p>\n'),
        ("```py\na < b\n```", "<pre><code>a &lt; b\n</code></pre>\n"),
        ("3. a", '<ol start="3">\n<li>a</li>\n</ol>\n'),
    ],
)
def test_what_models_write_looks_as_they_mean_it(text: str, html: str) -> None:
    assert as_html(text) == html


def test_a_picture_is_a_link_that_nobody_has_to_follow() -> None:
    html = as_html('![a <b>"c"](https://a.example/p.png)')
    assert html == f'<p><a href="https://a.example/p.png" {ELSEWHERE}>a &lt;b&gt;"c"</a></p>\n'
    assert as_html("![](https://a.example/p.png)").count("https://a.example/p.png") == 2


@pytest.mark.parametrize(
    "text",
    [
        "<script>x()</script>",
        "<b onclick=x()>a</b>",
        "[a](javascript:x())",
        "[a](data:text/html,x)",
        "[a](/threads)",
        "![a](javascript:x())",
        '[a](https://b.example "x\\" onclick=\\"y()")',
    ],
)
def test_nothing_in_it_runs_or_acts_here(text: str) -> None:
    html = as_html(text)
    assert "<script" not in html
    assert "<b " not in html
    assert 'href="/' not in html
    assert 'href="javascript' not in html
    assert 'href="data' not in html
    assert ' onclick="' not in html


def test_a_number_in_brackets_stays_what_it_is() -> None:
    assert as_html("So it is [1].\n\n[1]: https://a.example") == (
        "<p>So it is [1].</p>\n<p>[1]: https://a.example</p>\n"
    )


def test_what_is_behind_the_longest_is_shown_as_it_is() -> None:
    assert as_html("**a** <i>", most=5) == "<p><strong>a</strong></p>\n<pre> &lt;i&gt;</pre>"
    assert rendered(["**a**", "**b**"], most=5) == ["<p><strong>a</strong></p>\n", "<pre>**b**</pre>"]
    assert rendered(["", "x"]) == ["", "<p>x</p>\n"]


def test_what_takes_a_core_for_long_ends_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    long = "x" * (MOST_OF_A_TEXT + 1)
    assert rendered([long])[0].endswith("</p>\n<pre>x</pre>")
    monkeypatch.setattr("server.console.markdown.MOST_SECONDS", 0.0)
    assert rendered(["*a*", "*b*"]) == ["<p><em>a</em></p>\n", "<pre>*b*</pre>"]
