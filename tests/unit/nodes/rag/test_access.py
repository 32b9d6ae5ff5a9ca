"""Documents of one source that are for some of those who search it: every way to their text and names."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.access import Principal
from core.container import opened_service
from nodes.rag import RAGClient
from nodes.rag.files import list_files
from nodes.rag.models import RAGResponse
from nodes.rag.module import MODULE
from nodes.rag.rights import Rights, cleaned
from nodes.rag.settings import AccessRule, LocalSource
from tests.unit.nodes.rag.corpus import write
from waystation.testing.agents import context_at

STAFF, HR = Principal("ada", frozenset({"staff"})), Principal("hal", frozenset({"staff", "hr"}))
BOARD = Principal("bea", frozenset({"staff", "board"}))
DOCUMENTS = {
    "travel.md": "# Travel\n\nTrains are booked a week ahead by everyone.",
    "hr/pay.md": "# Pay\n\nThe salaries of the zephyrine project are paid in March.",
    "hr/board/merger.md": "# Merger\n\nThe merger with Quixotry is signed in June.",
    "sub/hr/pay.md": "# Pay of the branch\n\nThe branch pays wages weekly to everyone.",
}
SOURCES = """policies:
  type: local
  path: [../docs, ../more]
  groups: [staff]
  access:
    rules:
      - {path: "HR/**", groups: [hr, board]}
      - {path: "hr/board", groups: [board]}
      - {path: "nowhere/*", groups: [hr]}
"""


@pytest.fixture(scope="module")
async def rag(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RAGClient]:
    folder = tmp_path_factory.mktemp("access")
    write(folder / "docs", DOCUMENTS)
    write(folder / "more", {"hr/pay.md": "# Bonus\n\nThe bonus of the walrus team is nine."})
    (folder / "docs" / "link.md").symlink_to(folder / "docs" / "hr" / "pay.md")
    (folder / "docs" / "hr" / "photo.png").write_bytes(b"\0")
    (folder / "docs" / "hr" / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    context = context_at(folder, files={"sources.yaml": SOURCES})
    async with opened_service(MODULE, RAGClient, context) as (client, _):
        await client.prepare()
        yield client


async def asked(rag: RAGClient, text: str, who: Principal) -> RAGResponse:
    return await rag.query(text, sources=["policies"], principal=who, limit=20)


async def found(rag: RAGClient, text: str, who: Principal) -> set[str]:
    return {passage.document for passage in (await asked(rag, text, who)).passages}


async def test_passages_are_of_documents_whose_every_rule_is_met(rag: RAGClient) -> None:
    assert await found(rag, "salaries of the zephyrine project", STAFF) == set()
    assert "hr/pay.md" in await found(rag, "salaries of the zephyrine project", HR)
    assert "hr/board/merger.md" not in await found(rag, "merger with Quixotry", HR)
    assert "hr/board/merger.md" in await found(rag, "merger with Quixotry", BOARD)
    assert "travel.md" in await found(rag, "book trains", STAFF)


async def test_a_rule_holds_below_each_folder_of_the_source_and_nowhere_else(rag: RAGClient) -> None:
    assert "more/hr/pay.md" in await found(rag, "bonus of the walrus team", HR)
    assert await found(rag, "bonus of the walrus team", STAFF) == set()
    assert "sub/hr/pay.md" in await found(rag, "branch pays wages weekly", STAFF)


async def test_a_link_has_the_rights_of_what_it_leads_to(rag: RAGClient) -> None:
    names = {each.name for each in await rag.documents("policies", principal=HR)}
    assert "hr/pay.md" in names
    assert "link.md" not in names


async def test_names_counts_and_reasons_are_those_of_documents_that_one_may_see(rag: RAGClient) -> None:
    for who, names in ((STAFF, {"travel.md", "sub/hr/pay.md"}), (HR, {"hr/pay.md", "hr/photo.png"})):
        listed = {each.name for each in await rag.documents("policies", principal=who)}
        assert names <= listed
        (info,) = await rag.discover(who)
        assert set(info.reasons) == {name for name in listed if name.endswith((".png", ".pdf"))}
        assert info.skipped == len(info.reasons)
        assert info.documents == len(listed) - len(info.reasons)
    assert not any(
        "hr/p" in each.name
        for each in await rag.documents("policies", principal=STAFF)
        if not each.name.startswith("sub/")
    )


async def test_pieces_of_a_document_are_given_to_those_who_may_see_it(rag: RAGClient) -> None:
    for document in ("hr/pay.md", "more/hr/pay.md", "hr/board/merger.md"):
        assert await rag.chunks("policies", document, principal=STAFF) == []
        assert await rag.chunks("policies", document, principal=BOARD) != []


async def test_words_of_hidden_documents_are_words_that_nobody_has_written(rag: RAGClient) -> None:
    # A misspelt word is looked for as the one that was meant: only where one may see that one.
    assert "hr/pay.md" in await found(rag, "zephyrime", HR)
    unseen = await asked(rag, "zephyrime", STAFF)
    (_, why), (_, of_no_word) = *unseen.nothing, *(await asked(rag, "quokkafont", STAFF)).nothing
    assert replace(unseen, nothing=()) == RAGResponse()
    assert why == of_no_word.replace("quokkafont", "zephyrime")


async def test_health_names_no_document_that_some_may_not_see(rag: RAGClient) -> None:
    found = await rag.check()
    (info,) = await rag.discover(Principal("eve", frozenset({"staff"})))
    assert found.details["sources"]["policies"]["details"]["chunks"] == info.chunks
    health = json.dumps(found.as_json())
    assert "photo" not in health
    assert "broken" not in health
    assert '"idle_rules": ["nowhere/*"]' in health


async def test_a_rule_that_matches_nothing_is_told_to_whoever_runs_the_service(rag: RAGClient) -> None:
    (stats,) = await rag.stats()
    assert stats.idle_rules == ("nowhere/*",)
    assert "no document under the rule of access 'nowhere/*'" in stats.summary()


@pytest.mark.parametrize(
    ("path", "document", "matches"),
    [
        ("hr", "hr/a.md", True),
        ("hr/", "hr/a/b.md", True),
        ("hr/*", "hr/a/b.md", True),
        ("./hr/**", "HR/a.md", True),
        ("hr", "hr.md", False),
        ("hr", "archive/hr/a.md", False),
        ("**/hr/**", "archive/hr/a.md", True),
        ("**/hr/**", "hr/a.md", True),
        ("**", "a.md", True),
        ("*.pdf", "deep/down/a.PDF", True),
        ("pay?.md", "pay1.md", True),
        ("pay?.md", "pay/.md", False),
        ("B\u00fcro/**", "Bu\u0308ro/a.md", True),
        ("a+(b)/[c]", "a+(b)/[c]/d.md", True),
        ("line\nbreak/*", "line\nbreak/a\nb.md", True),
        ("hr//./*", "hr/a.md", True),
        ("stra?e.md", "Stra\u00dfe.md", True),
        ("p?y.md", "px\u0303y.md", True),
        ("p?y.md", "paay.md", False),
        ("hr\\pay.md", "hr\\pay.md", True),
    ],
)
def test_what_a_path_means(path: str, document: str, matches: bool) -> None:
    rights = Rights([AccessRule(path=path, groups=["hr"])])
    assert bool(rights.matching(document)) is matches


@pytest.mark.parametrize(
    "rule",
    [
        {"path": "/srv/hr", "groups": ["hr"]},
        {"path": "../hr", "groups": ["hr"]},
        {"path": "./", "groups": ["hr"]},
        {"path": "hr", "groups": []},
        {"path": "hr"},
        {"path": "hr/ ", "groups": ["hr"]},
        {"path": "hr", "groups": [""]},
    ],
)
def test_a_rule_that_could_mean_nothing_is_refused(rule: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LocalSource.model_validate({"path": "docs", "access": {"rules": [rule]}})


def test_a_folder_that_is_added_has_the_rules_from_then_on(tmp_path: Path) -> None:
    roots: list[str] = [str(tmp_path / "docs")]
    rights = Rights([AccessRule(path="hr/**", groups=["hr"])], lambda: tuple(roots))
    assert rights.anybody("extra/hr/a.md")
    roots.append(str(tmp_path / "extra"))
    assert not rights.anybody("extra/hr/a.md")
    assert not rights.anybody("extra-2/hr/a.md")


async def test_scores_tell_nothing_of_documents_that_one_may_not_see(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    open_ones = {
        f"{n}.md": f"# Page {n}\n\nThe zephyrine pump, series {n}, is oiled weekly." for n in range(9)
    }
    open_ones["other.md"] = "# Oil\n\nOil is bought by the barrel from the quixotry works."
    hidden = {f"hr/{n}.md": f"# Note {n}\n\nThe quixotry merger, part {n}: zephyrine." for n in range(40)}
    answers: list[list[tuple[str, float]]] = []
    for documents in (open_ones, open_ones | hidden):
        folder = tmp_path_factory.mktemp("told")
        write(folder / "docs", documents)
        write(folder / "more", {"hr/pay.md": "# Pay\n\nPaid."})
        context = context_at(folder, files={"sources.yaml": SOURCES}, rag={"search": "words"})
        async with opened_service(MODULE, RAGClient, context) as (client, _):
            await client.prepare()
            found = await asked(client, "quixotry zephyrine oil", STAFF)
            answers.append([(passage.document, passage.score) for passage in found.passages])
            everything = await asked(client, "quixotry zephyrine oil", BOARD)
    assert answers[0] == answers[1]
    assert answers[0][0][0] == "other.md"
    assert len(everything.passages) > len(answers[1])


# Folders of a source that have the same file in several ways, or by another name than its folder's.
ENTANGLED = {
    "a folder in another": ["p/hr", "p"],
    "the same in the other order": ["p", "p/hr"],
    "a glob in a folder": ["p/hr/*.md", "p"],
    "a file in a folder": ["p/hr/plan.md", "p"],
    "a link to a file in a folder": ["p/plan-link.md", "p"],
    "a glob that goes through a link to a folder": ["p/**/*.md"],
    "a second folder that is a link": ["p", "current"],
    "a second folder with points in its path": ["p", "q/../q/v42"],
}


@pytest.mark.parametrize("roots", ENTANGLED.values(), ids=ENTANGLED)
def test_a_rule_holds_however_the_folders_of_a_source_lie_in_each_other(
    tmp_path: Path, roots: list[str]
) -> None:
    write(tmp_path / "p", {"hr/plan.md": "secret", "travel.md": "open"})
    write(tmp_path / "q" / "v42", {"hr/plan.md": "secret, too", "travel.md": "open, too"})
    (tmp_path / "current").symlink_to(tmp_path / "q" / "v42")
    (tmp_path / "p" / "aa").symlink_to(tmp_path / "p" / "hr")
    (tmp_path / "p" / "plan-link.md").symlink_to(tmp_path / "p" / "hr" / "plan.md")
    absolute = [str(tmp_path / root) for root in roots]
    rights = Rights([AccessRule(path="hr/**", groups=["hr"])], lambda: absolute)
    names = set(list_files(absolute).files)
    assert {name for name in names if rights.anybody(name)} == {n for n in names if n.endswith("travel.md")}
    assert any(name.endswith("hr/plan.md") for name in names)


@given(
    st.lists(st.sampled_from(["a", "b", "/", "*", "**", "**/", "?"]), min_size=1, max_size=8).map("".join),
    st.text(alphabet="ab/", min_size=1, max_size=8),
)
def test_stars_that_stop_early_match_what_stars_that_try_all_match(path: str, document: str) -> None:
    try:
        rule = AccessRule(path=path, groups=["hr"])
    except ValidationError:
        return
    naive = re.split(r"(\*\*/|\*+|\?)", cleaned(path))
    meant = {"**/": "(?:.*/)?", "?": "[^/]"}
    said = "".join(".*" if p and not p.strip("*") else meant.get(p, re.escape(p)) for p in naive)
    wanted = re.fullmatch(f"{said}(?:/.*)?", cleaned(document)) is not None
    assert bool(Rights([rule]).matching(cleaned(document))) is wanted


def test_a_rule_of_many_stars_takes_no_time_on_any_name() -> None:
    rights = Rights([AccessRule(path="*a" * 30 + "b", groups=["hr"])])
    assert not rights.matching("a" * 4000)


def test_names_of_folders_that_repeat_themselves_cost_no_more_than_their_length(tmp_path: Path) -> None:
    roots = [
        str(tmp_path / "a"),
        str(tmp_path / "a" / "a" / "a"),
        str(tmp_path / "a" / "a" / "a" / "a" / "a"),
    ]
    rights = Rights([AccessRule(path="b", groups=["hr"])], partial(tuple, roots))
    assert not rights.anybody("a/" * 200 + "b")


def test_a_rule_below_a_folder_in_another_holds_for_it_too(tmp_path: Path) -> None:
    write(tmp_path / "p", {"teams/hr/board/plan.md": "secret", "travel.md": "open"})
    for roots in (["p/teams/hr", "p"], ["p", "p/teams/hr/*/*.md"]):
        absolute = [str(tmp_path / root) for root in roots]
        rights = Rights([AccessRule(path="board", groups=["board"])], partial(tuple, absolute))
        assert not rights.anybody("teams/hr/board/plan.md")
        assert set(list_files(absolute).files) == {"teams/hr/board/plan.md", "travel.md"}


def test_a_rule_below_the_folder_of_a_glob_holds_for_folders_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "p", {"travel.md": "open", "hr/pay.md": "secret", "hr/board/plan.md": "secret"})
    write(tmp_path / "p", {"it/vpn.md": "open"})
    (tmp_path / "current").symlink_to(tmp_path / "p" / "hr")
    for inner in ("p/hr", "p/hr/*.md", "p/hr/pay.md", "current"):
        absolute = [str(tmp_path / root) for root in ("p/*.md", inner, "p/it")]
        files = list_files(absolute).files
        rules = [AccessRule(path="hr/**", groups=["hr"]), AccessRule(path="hr/board", groups=["board"])]
        roots = {name: found.root for name, found in files.items()}
        rights = Rights(rules, partial(tuple, absolute), roots.__getitem__)
        assert {name for name in files if rights.anybody(name)} == {"travel.md", "vpn.md"}
        assert rights.idle(list(files)) == ([] if "board/plan.md" in files else ["hr/board"])


def test_a_document_of_an_unknown_folder_beside_a_glob_has_the_rules_of_each(tmp_path: Path) -> None:
    write(tmp_path / "p" / "hr", {"pay.md": "secret"})
    roots = [str(tmp_path / "p" / "*.md"), str(tmp_path / "p" / "hr")]
    rights = Rights([AccessRule(path="hr", groups=["hr"])], partial(tuple, roots))
    assert not rights.anybody("photo.png")
