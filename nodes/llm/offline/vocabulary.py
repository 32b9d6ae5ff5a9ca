"""The words that the offline model knows: which say little, which mean the same, where clocks agree."""

from __future__ import annotations


def listed(text: str) -> frozenset[str]:
    """The words of a block of text, as a set."""
    return frozenset(text.split())


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

MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
NUMBERS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
