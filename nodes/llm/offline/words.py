"""Words of a text: where they stand, their stems, and which of them mean the same."""

from __future__ import annotations

import re
from dataclasses import dataclass


def listed(text: str) -> frozenset[str]:
    """The words of a block of text, as a set."""
    return frozenset(text.split())


def in_order(text: str) -> tuple[str, ...]:
    """The same words, in their order."""
    return tuple(text.split())


STOP = listed("""
    a about after all also am an and any are as at be been but by can could did do does doing for from get
    give had has have having he her here him his how i if in into is it its just let like make may me might my
    of on one or our out over please put s say shall she should show so some tell than that the their them
    then there these they this those to
    too up us use used using very want was we were what when where which while
    who whom whose why will with would you your e.g i.e thanks thank ok okay hey hi hello
""")

SMALL_TALK = listed("""
    what is the of and s how much are
    does do equal equals make makes result answer to me tell give please
    calculate compute evaluate work out by a an in now then so about for value solve can you could i
    would like
    know want sum total calculator using use with it that this math if get gives come will be let ok okay many
""")
"""What may stand around a sum without making the sentence about something else."""

FILLERS = listed("""
    good mean meaning explain describe
    happen happens happened work works need know way best take takes go thing
    called
    define see
""")
"""Words of a question that say nothing of what it is about."""

# Each line means one thing; its first word stands for all of them.
SAME = """
sum total plus add addition altogether summed
mean average avg
max maximum highest largest biggest most greatest
min minimum lowest smallest least fewest
count number many
time clock hour oclock
date day today
now current currently
convert conversion change
difference between elapsed duration apart
head first top beginning
describe overview summary summarise summarize columns structure
filter where only rows
aggregate group grouped per
file table csv spreadsheet
delete remove
find search lookup
multiply product
subtract minus
divide divided quotient
"""

# Cities and countries that have no zone of their own name.
PLACES = """
America/Los_Angeles: San Francisco, Seattle, California, Silicon Valley, LA, Las Vegas
America/New_York: Boston, Washington, Miami, Atlanta, NYC, Philadelphia
America/Chicago: Austin, Dallas, Houston, Texas
America/Toronto: Montreal, Ottawa
America/Sao_Paulo: Rio de Janeiro
Asia/Shanghai: Beijing, China, Shenzhen
Asia/Kolkata: India, Mumbai, Delhi, New Delhi, Bangalore, Bengaluru, Chennai
Asia/Tokyo: Osaka, Kyoto, Japan
Asia/Seoul: Korea, South Korea
Asia/Dubai: Abu Dhabi
Asia/Jerusalem: Tel Aviv
Asia/Bangkok: Hanoi
Europe/Berlin: Germany, Munich, Hamburg, Frankfurt, Cologne
Europe/Paris: France, Lyon
Europe/Rome: Italy, Milan
Europe/Madrid: Spain, Barcelona
Europe/Zurich: Switzerland, Geneva, Basel, Bern
Europe/Vienna: Austria
Europe/London: England, Scotland, UK, Manchester, Edinburgh
Europe/Amsterdam: Netherlands, Rotterdam
Europe/Stockholm: Sweden
Europe/Oslo: Norway
Europe/Copenhagen: Denmark
Europe/Helsinki: Finland
Europe/Athens: Greece
Europe/Kyiv: Kyiv
Australia/Sydney: Canberra
"""

MONTHS = in_order("""
    january february march april may june july august september october november december
""")
NUMBERS = in_order("zero one two three four five six seven eight nine ten eleven twelve")

_WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*", re.UNICODE)
_NAME_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_]+", re.UNICODE)

_CANON = {word: line.split()[0] for line in SAME.strip().splitlines() for word in line.split()}
_ENDINGS = ("ations", "ation", "ings", "ing", "edly", "ies", "ed", "es", "ly", "s")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text; `start` and `end` are character positions."""

    text: str
    stem: str
    start: int
    end: int

    @property
    def stopped(self) -> bool:
        return self.text.lower() in STOP


def stem(word: str) -> str:
    """A light stem: plural and verb endings go, doubled consonants become one."""
    word = word.lower().replace("’", "'").removesuffix("'s")
    if len(word) < 4 or not word.isalpha():
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            base = word[: -len(ending)]
            return _rounded(base + "y" if ending == "ies" else base)
    return _rounded(word)


def _rounded(base: str) -> str:
    if len(base) > 3 and base[-1] == base[-2] and base[-1] not in "aeiouls":
        base = base[:-1]
    return base[:-1] if len(base) > 3 and base.endswith("e") else base


_CANON_STEMS = {stem(word): stem(first) for word, first in _CANON.items()}


def meaning(word: str) -> str:
    """The stem that stands for the word and for those that mean the same."""
    found = stem(word)
    return _CANON_STEMS.get(found, found)


def words(text: str) -> list[Word]:
    """The words of a text in order."""
    return [Word(m.group(), stem(m.group()), m.start(), m.end()) for m in _WORD.finditer(text)]


def content_words(text: str) -> list[Word]:
    """The words that carry meaning."""
    return [word for word in words(text) if not word.stopped]


def name_parts(name: str) -> list[str]:
    """`group_by` and `groupBy` as words."""
    return [part.lower() for part in _NAME_PART.findall(name)]
