"""`waystation rag eval`: what it counts, what it says of a bad file, and how it is told to fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no types
from typer.testing import CliRunner, Result

from nodes.rag.cli import app
from nodes.rag.errors import QuestionsInvalid
from nodes.rag.evaluation import JudgedQuestion, Question, figures, grouped, in_half, read_questions
from nodes.rag.evaluation.options import Floor, overrides
from nodes.rag.models import Passage
from tests.unit.nodes.rag.corpus import HANDBOOK, write

pytestmark = pytest.mark.slow

PRICES = "article,price\nhose,12.50\nclip,0.80\n"
QUESTIONS = """
source: docs
questions:
  - {question: Where are the backups kept, expect: [faq.txt], quote: every night, group: plain}
  - {question: upload limit, expect: "lim*.md", cell: [upload, 250 MiB], group: tables, language: english}
  - {question: what does a clip cost, expect: prices.csv, cell: [clip, "0.80"], group: tables}
  - {question: How do I stop Harbour, expect: [faq.txt], group: plain}
  - {question: Kalorien einer Banane, expect: [], group: none, language: german}
  - {question: backups on the moon, expect: [], group: none}
"""


@pytest.fixture(autouse=True)
def _configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "config"
    write(folder / "docs", {**HANDBOOK, "prices.csv": PRICES})
    (folder / "sources.yaml").write_text(
        "docs: {type: local, path: docs}\nclosed: {type: local, path: docs, groups: [staff]}\n"
        'away: {type: http, url: "http://127.0.0.1:9"}\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("WAYSTATION_CONFIG_DIR", str(folder))


def written(folder: Path, text: str, name: str = "questions.yaml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["eval", *arguments])


def passage(document: str, text: str = "") -> Passage:
    return Passage("docs", document, document, text, 0.5)


def question(expect: list[str], **others: object) -> Question:
    return Question.model_validate({"question": "what?", "expect": expect, **others})


def test_the_figures_are_those_of_the_questions(tmp_path: Path) -> None:
    [found] = json.loads(run(written(tmp_path, QUESTIONS), "--json").stdout)
    everything = found["by_group"]["all"]
    assert everything["questions"] == 6
    assert everything["hit@1"] == everything["hit@4"] == everything["mrr"] == 0.75
    assert everything["no_answer"] == 0.5
    assert everything["cell"] == everything["quote"] == 1
    assert found["by_group"]["plain"]["hit@1"] == 0.5
    assert found["by_group"]["none"]["hit@1"] is None
    assert found["by_language"]["german"]["no_answer"] == 1
    assert [q["rank"] for q in found["questions"]] == [1, 1, 1, None, None, None]


def test_people_see_a_row_for_each_group_and_what_was_missed(tmp_path: Path) -> None:
    shown = run(written(tmp_path, QUESTIONS), "--misses").stdout
    assert ["none", "2", "-", "-", "-", "50%", "-", "-"] in [line.split() for line in shown.splitlines()]
    assert "How do I stop Harbour [plain]: none of its documents was shown" in shown
    assert "  expected: faq.txt" in shown
    assert "  1. index.md (Harbour Handbook › Stopping, score" in shown
    assert "backups on the moon [none]: nothing answers it, and passages were shown" in shown
    assert "Kalorien" not in shown
    assert "english" in run(written(tmp_path, QUESTIONS), "--by", "language").stdout


def test_a_floor_that_is_not_reached_fails_and_says_which(tmp_path: Path) -> None:
    file = written(tmp_path, QUESTIONS)
    assert run(file, "--floor", "hit@4=0.75", "--floor", "german.no_answer=1").exit_code == 0
    failed = run(file, "--floor", "hit@1=0.8", "--floor", "plain.mrr=0.6", "--floor", "cell=1")
    assert failed.exit_code == 1
    assert "below_floor: hit@1 of all is 0.75, below 0.80" in failed.stderr
    assert "below_floor: mrr of plain is 0.50, below 0.60" in failed.stderr
    assert "cell of all" not in failed.stderr
    assert "QUESTIONS" in failed.stdout


def test_variants_are_settings_and_leave_the_index_of_the_service_alone(tmp_path: Path) -> None:
    file = written(tmp_path, QUESTIONS)
    found = json.loads(run(file, "--variant", "limit=1", "--variant", "rag.min_score=1", "--json").stdout)
    assert [run["variant"] for run in found] == ["limit=1", "rag.min_score=1"]
    assert list(found[0]["by_group"]["all"]) == ["questions", "hit@1", "mrr", "no_answer", "cell", "quote"]
    assert found[1]["by_group"]["all"]["no_answer"] == 1
    assert not (tmp_path / "home").exists()
    shown = run(file, "--variant", "limit=1", "--variant", "limit=6", "--floor", "hit@1=0.9")
    assert "limit=1:\n" in shown.stdout
    assert "HIT@6" in shown.stdout
    assert "hit@1 of all is 0.75, below 0.90 (limit=6)" in shown.stderr


def test_a_variant_that_no_setting_knows_is_told_as_any_setting_is(tmp_path: Path) -> None:
    said = run(written(tmp_path, QUESTIONS), "--variant", "min_scor=0.5")
    assert said.exit_code == 1
    assert "rag.min_scor: unknown key" in said.stderr
    assert "did you mean 'min_score'?" in said.stderr


def test_only_a_group_and_only_a_half_are_asked(tmp_path: Path) -> None:
    file = written(tmp_path, QUESTIONS)
    [found] = json.loads(run(file, "--only", "tables", "--json").stdout)
    assert [q["group"] for q in found["questions"]] == ["tables", "tables"]
    halves = [json.loads(run(file, "--half", half, "--json").stdout)[0] for half in ("odd", "even")]
    asked = [{q["question"] for q in half["questions"]} for half in halves]
    assert asked[0] & asked[1] == set()
    assert len(asked[0] | asked[1]) == 6


def test_a_question_stays_in_its_half_wherever_it_stands_and_however_it_is_spaced() -> None:
    questions = [f"how do I reach port {n}?" for n in range(200)]
    odd = [q for q in questions if in_half(q, "odd")]
    assert [q for q in reversed(questions) if in_half(q, "odd")] == odd[::-1]
    assert all(in_half(f"  {q.upper()}\n", "odd") for q in odd)
    assert not any(in_half(q, "even") for q in odd)
    assert 70 < len(odd) < 130


def test_questions_without_a_source_are_asked_of_all_that_the_user_may_search(tmp_path: Path) -> None:
    file = written(tmp_path, "questions: [{question: Where are backups kept, expect: faq.txt}]")
    said = run(file)
    assert said.exit_code == 1
    assert "source 'away' failed at 'Where are backups kept'" in said.stderr
    [found] = json.loads(run(file, "--source", "docs", "--json").stdout)
    assert found["by_source"]["docs"]["hit@1"] == 1
    assert run(file, "--source", "closed").exit_code == 1
    assert run(file, "--source", "closed", "--group", "staff", "--user", "eve").exit_code == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "questions:\n  - {question: a}",
            "q.yaml:2: questions.0.expect: a required key is missing; name the",
        ),
        ("questions:\n  - {question: a, expekt: [b]}", "unknown key; did you mean 'expect'?"),
        ("questions:\n  - {expect: [b]}", "q.yaml:2: questions.0.question: a required key is missing"),
        (
            "questions:\n  - question: ' '\n    expect: []",
            "q.yaml:2: questions.0.question: must not be blank",
        ),
        ("questions:\n  - {question: a, expect: ['']}", "must not hold an empty text"),
        ("questions:\n  - {question: a, expect: [], cell: [b]}", "has a quote or a cell and no document"),
        ("questions: []", "q.yaml:1: questions: "),
        ("", "questions: a required key is missing; write `questions:`"),
        ("- a", "must be a mapping"),
        ("questions: [", "q.yaml:1: is not valid YAML"),
        (
            "questions:\n  - {question: Why  me, expect: []}\n  - {question: why me, expect: [b]}",
            "question 2 is the same as question 1",
        ),
    ],
)
def test_a_bad_file_is_told_with_line_field_and_remedy(tmp_path: Path, text: str, said: str) -> None:
    found = run(written(tmp_path, text, "q.yaml"))
    assert found.exit_code == 1
    assert all(line.startswith("questions_invalid: ") for line in found.stderr.splitlines())
    assert said in found.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--half", "od"], "there is no half 'od'; did you mean 'odd'?"),
        (["--only", "plane"], "did you mean 'plain'?"),
        (["--by", "colour"], "known: group, language, source"),
        (["--floor", "hit@4"], "'hit@4' is no floor; write FIGURE=SHARE"),
        (["--floor", "hit@4=80"], "'hit@4=80' is no floor"),
        (["--floor", "hits=0.5"], "there is no figure 'hits'"),
        (["--floor", "plane.mrr=0.5"], "there is no group 'plane'; did you mean 'plain'?"),
        (["--floor", "plain.cell=0.5"], "no question of 'plain' gives the figure cell"),
        (["--variant", "limit"], "'limit' is no variant"),
        (["--source", "dogs"], "no source 'dogs'; did you mean 'docs'?"),
        (["--only", "plain", "--half", "odd", "--only", "plain"], ""),
    ],
)
def test_a_bad_option_is_told_with_what_may_stand_there(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    found = run(written(tmp_path, QUESTIONS), *arguments)
    assert said in found.stderr
    assert "Traceback" not in found.output
    assert found.exit_code == (1 if said else 0)


def test_no_file_and_a_file_that_is_not_there_are_told(tmp_path: Path) -> None:
    assert "name a file of questions" in run().stderr
    assert "there is no file 'x.yaml'" in run(str(tmp_path / "x.yaml")).stderr
    assert "cannot be read: it is not a file" in run(str(tmp_path)).stderr


def test_a_half_in_which_no_question_is_left_is_told(tmp_path: Path) -> None:
    file = written(tmp_path, "source: docs\nquestions: [{question: a b, expect: []}]")
    other = "odd" if in_half("a b", "even") else "even"
    assert "no question of questions.yaml is left to ask" in run(file, "--half", other).stderr


def test_json_is_read_too_and_variables_in_a_question_are_text(tmp_path: Path) -> None:
    body = {"$schema": "questions.schema.json", "questions": [{"question": "what is ${HOME}", "expect": []}]}
    [item] = read_questions(Path(written(tmp_path, json.dumps(body), "q.json"))).all()
    assert item.question == "what is ${HOME}"


def test_the_schema_describes_a_file_for_editors() -> None:
    judge = Draft202012Validator(json.loads(run("--schema").stdout))
    good = {"source": "docs", "questions": [{"question": "a", "expect": "b.md", "cell": ["c", "d"]}]}
    assert judge.is_valid(good)
    assert not judge.is_valid({"questions": []})
    assert not judge.is_valid({"questions": [{"question": "a"}]})
    assert not judge.is_valid({**good, "qestions": []})


def test_a_cell_counts_only_in_the_row_that_is_meant() -> None:
    asked = question(["prices.csv"], cell=["clip", "0.80"])
    rows = "article: hose; price: 12.50\n\narticle: clip; price: 0.80"
    assert JudgedQuestion.of(asked, [passage("prices.csv", rows)]).celled is True
    assert JudgedQuestion.of(asked, [passage("prices.csv", rows.replace("0.80", "0.90"))]).celled is False
    assert JudgedQuestion.of(asked, [passage("old.csv", rows)]).celled is False
    crossed = "article: hose; price: 0.80\n\narticle: clip; price: 12.50"
    assert JudgedQuestion.of(asked, [passage("prices.csv", crossed)]).celled is False


def test_a_quote_may_be_broken_over_lines_and_counts_in_expected_documents_only() -> None:
    asked = question(["a/*.md"], quote=["two words", "other words"])
    assert JudgedQuestion.of(asked, [passage("a/b.md", "here two\n  words stand")]).quoted is True
    assert JudgedQuestion.of(asked, [passage("c.md", "two words")]).quoted is False
    missed = JudgedQuestion.of(asked, [passage("a/b.md", "none")])
    assert missed.missed == "its document was shown, and not the quote"


def test_ranks_are_those_of_the_first_expected_document() -> None:
    outcomes = [
        JudgedQuestion.of(question(["b"]), [passage("a"), passage("b"), passage("b")]),
        JudgedQuestion.of(question(["a"]), [passage("a")]),
        JudgedQuestion.of(question(["a"]), []),
        JudgedQuestion.of(question([]), []),
    ]
    found = figures(outcomes, cuts=(1, 2))
    assert found.hits == {1: round(1 / 3, 4), 2: round(2 / 3, 4)}
    assert found.mrr == 0.5
    assert found.no_answer == 1
    assert found.cell is found.quote is None
    assert list(grouped(outcomes, lambda q: q.group)) == ["-", "all"]


def test_a_variant_reaches_settings_below_a_key() -> None:
    assert overrides("limit=2, rag.a.b=x=y,a.c=1") == {"limit": "2", "a": {"b": "x=y", "c": "1"}}
    with pytest.raises(QuestionsInvalid, match="sets a twice"):
        overrides("a=1,a.b=2")
    assert Floor.read("a.b.hit@4=0.5") == Floor("a.b", "hit@4", 0.5)
