"""What of a message is the question: without greeting and thanks, and not shouted.

People greet, say that they are new, ask for an explanation, and thank. None of it says what they want
to know, and all of it looks to an index like words that no passage holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from core.languages import LANGUAGES, small
from core.words import fold

# Longer messages are read as they are: what they are about outweighs their manners.
_MOST_LETTERS = 2000
# What is shouted has so many words; of fewer, capitals are how a name is written.
_FEWEST_SHOUTED = 3
# The name below "kind regards".
_MOST_OF_A_NAME = 3
_CLAUSE = re.compile(r"(?<=[.!?…:;,])\s+|\s*\n\s*|(?<=[。！？、])")
_WORD = re.compile(r"[^\W\d_]+")

# A clause of these and of small words alone says nothing of the matter; folded.
_COURTESY = frozenset(
    str.split("""
    hello hi hey dear greetings welcome morning afternoon evening day night week weekend everyone everybody
    folks guys team mate thanks thank thankful thx cheers grateful appreciate appreciated appreciation advance
    regards best kind kindly wishes sincerely sorry excuse apologies apologize apologise bother bothering
    disturb trouble interrupt hope hoping hopefully well fine great nice good lovely wonderful wondering
    question questions quick quickly short little brief simple stupid silly dumb newbie new assistance assist
    idea ideas clue try trying tried searched searching looked looking found anywhere somewhere nowhere
    something anything nothing somebody someone anybody anyone knows quite bit lot moment minute time side
    glad happy wonder ok okay alright sure
    hallo moin servus gruss grusse gruezi guten gute guter morgen tag abend nachmittag zusammen liebe lieber
    liebes danke dank vielen viele vielmals voraus herzlich herzliche herzlichen freundliche freundlichen mal
    kurz kurze frage fragen hatte entschuldigung entschuldigt entschuldigen verzeihung storung store hilfe
    helfen weiterhelfen geht gehts hoffe hoffentlich schon schonen schones neu ware waren nett super toll
    wunsche konnt konnte konnten konntet konntest wurde wurden jemand irgendwo nirgends
    bonjour bonsoir salut merci beaucoup avance cordialement cordiales salutations bien excusez pardon desole
    desolee deranger espere allez petite journee soiree belle bonne aider aide
    hola buenos buenas dias tardes gracias antemano saludos cordial perdon disculpe disculpen pregunta ayuda
    ayudar espero buen dia
    ciao buongiorno buonasera grazie anticipo saluti cordiali domanda scusi scusate
    """)
)
# What stands behind a clause with one of these is a name.
_SIGNED = frozenset(
    str.split("""
    regards wishes sincerely cheers thanks gruss grusse danke dank cordialement salutations merci saludos
    gracias saluti grazie
    """)
)
# Asks for an answer, and does not say for which; folded.
_ASKING = frozenset(
    str.split("""
    explain explains explained explanation describe described clarify elaborate outline summarize summarise
    info infos information overview regarding concerning
    erklare erklaren erklart erklar beschreibe beschreiben erlautere erlautern nenne nennen zeig zeige zeigen
    informationen uberblick bezuglich
    explique expliquer expliquez decris decrire decrivez informations
    explica explicar describir informacion spiega spiegare informazioni
    """)
)


def matter(message: str) -> str:
    """What a message is about, in its own words; the message as it is where nothing else would be left."""
    if len(message) > _MOST_LETTERS:
        return message
    kept = _asked_for(" ".join(_telling(message)) or message)
    shouted = kept.isupper() and len(_WORD.findall(kept)) >= _FEWEST_SHOUTED
    return kept.lower() if shouted else kept


def _telling(message: str) -> Iterator[str]:
    """The clauses that say something."""
    signed = False
    for clause in _CLAUSE.split(message):
        given = _WORD.findall(clause)
        if signed and len(given) <= _MOST_OF_A_NAME and all(map(str.istitle, given)):
            continue
        words = [fold(word) for word in given]
        courteous = not _COURTESY.isdisjoint(words) and _consists(words, _COURTESY)
        signed = courteous and not _SIGNED.isdisjoint(words)
        if not courteous and clause.strip():
            yield clause.strip()


def _asked_for(text: str) -> str:
    """`text` without words that only ask for an answer, where others tell something."""
    words = [fold(word) for word in _WORD.findall(text)]
    if _ASKING.isdisjoint(words) or _consists(words, _ASKING):
        return text
    kept = _WORD.sub(lambda word: "" if fold(word.group()) in _ASKING else word.group(), text)
    return " ".join(kept.split())


def _consists(words: Sequence[str], of: frozenset[str]) -> bool:
    """Whether all words are of these, or small ones of any language."""
    return all(word in of or len(word) == 1 or small(word, LANGUAGES) for word in words)
