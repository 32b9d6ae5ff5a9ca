"""A question is found however it is put: with manners, shouted, misspelt, or as a few words."""

from __future__ import annotations

import pytest

from nodes.rag.chunking import chunk_document
from nodes.rag.fake import MemoryStore
from nodes.rag.local import LocalRetriever
from nodes.rag.wording import matter
from tests.unit.nodes.rag.test_likelihood import Asks, searched


@pytest.mark.parametrize(
    ("message", "about"),
    [
        ("Hello, I hope you are well. Where are the logs? Many thanks in advance!", "Where are the logs?"),
        ("Sorry to bother you, where are the logs? Best regards, Tom", "where are the logs?"),
        ("Hallo zusammen, ich hätte eine Frage: Wo liegen die Logs? Viele Grüße, Tom", "Wo liegen die Logs?"),
        ("Bonjour, j'ai une petite question : où sont les journaux ? Merci", "où sont les journaux ?"),
        ("Hi! Where are the logs? Thanks, Tom Berger", "Where are the logs?"),
        ("Hi! Thanks, logs?", "logs?"),
        ("WHERE ARE THE LOGS", "where are the logs"),
        ("explain the logs", "the logs"),
        ("Erkläre mir bitte die Sicherung", "mir bitte die Sicherung"),
        ("I lost the receipt for a taxi. what now?", "I lost the receipt for a taxi. what now?"),
        ("Regards are sent, by whom and when", "Regards are sent, by whom and when"),
    ],
)
def test_what_a_message_is_about_is_left_of_it(message: str, about: str) -> None:
    assert matter(message) == about


@pytest.mark.parametrize(
    "message",
    [
        "what's new?",
        "hello",
        "Thanks!",
        "explain",
        "WAYSTATION_HOME",
        "S3 API",
        "",
        " ",
        "?",
        "ログはどこですか",
        "429",
    ],
)
def test_a_message_of_which_nothing_else_would_be_left_stays_as_it_is(message: str) -> None:
    assert matter(message) == message


def test_a_long_message_stays_as_it_is() -> None:
    message = "Hello! " + "The pump in hall C stands still. " * 80 + "Thanks!"
    assert matter(message) == message


TEXTS = {
    "lease.md": "While a run is going, its thread is held by a lease in the database.",
    "list.md": "A thread is a chat, a conversation, a dialogue: threads, chats and dialogues are listed.",
    "export.md": "A conversation is a chat. A dialogue, a chat, a conversation is exported.",
    "codes.md": "429 is the status of a caller who is over the quota.",
}


async def found(question: str) -> list[str]:
    store = MemoryStore()
    for name, text in TEXTS.items():
        await store.replace([name], chunk_document(name, text, chunk_tokens=50))
    retriever = LocalRetriever(
        "s", store=store, min_score=0.3, synonyms=[["thread", "chat", "conversation", "dialogue"]]
    )
    return [p.document for p in await retriever.search(question, limit=4, as_user="ada")]


@pytest.mark.parametrize(
    "question", ["thread lease", "lease of a thread", "chat lease", "THE LEASE OF A CHAT"]
)
async def test_three_names_of_one_word_do_not_outweigh_another_word(question: str) -> None:
    assert (await found(question))[0] == "lease.md"


@pytest.mark.parametrize("question", ["lease", "explain leases", "Hi! Leases, please. Thanks", "429"])
async def test_a_word_that_stands_there_is_found_alone(question: str) -> None:
    assert (await found(question))[0] == ("codes.md" if question == "429" else "lease.md")


async def test_the_judge_gets_the_question_without_manners_and_slips() -> None:
    judge = Asks(0.0)
    await searched("Hello! WHO SELLS STAMPS AT THE COUNTRE? Thanks a lot", judge)
    await searched("who sends parcels from the countre of the harbour", judge)
    assert judge.asked == [
        "who sells stamps at the counter?",
        "who sends parcels from the counter of the harbour",
    ]


async def test_a_quoted_sentence_finds_the_text_that_it_stands_in() -> None:
    judge = Asks(1.0)
    assert (await searched("Parcels are weighed at the counter, and stamps are sold there", judge))[
        0
    ] == "post.md"
