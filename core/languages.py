"""Which language a text is in, which of its words carry no meaning, and what stem a word has.

A text's language is told by its script, or by the small words that stand in it.
"""

from __future__ import annotations

import threading
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache, lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import Protocol

from core.words import fold

DEFAULT = "english"
# Enough to tell a language; a text is in one language nearly always.
READ_LETTERS = 4000
FEWEST_HITS = 2

# Small words by language, folded. English has more: they are also what a question is asked with.
SMALL = {
    language: frozenset(said.split())
    for language, said in {
        "english": """
    a about above after again all also am an and any are as ask at be because been before being below
    between both but by came can cannot could did do does doing done down each either else ever every few
    find for from further get give go got had has have having he hello help her here hers hey hi him his
    how i if in into is it its itself just know let like look make many may maybe me might mine more most
    much must my no nor not now of off ok okay on once one only or other our ours out over own please
    put say see shall she should show so some such tell than thank thanks that the their theirs them then
    there these they thing think this those through to today together too under until up upon us very want
    was way we well were what whatever when where whether which while who whom whose why will with within
    without would yes yet you your yours
    s t d ll m re ve isn aren wasn weren don doesn didn won wouldn couldn shouldn hasn haven hadn""",
        "german": """
    aber alle allem allen aller alles als also am an auch auf aus bei beim bin bis bist bitte da damit dann
    darf das dass dein dem den denn der des deshalb dich die dies diese diesem diesen dieser dieses dir doch
    dort du durch ein eine einem einen einer eines er es etwas euch fur hab habe haben hallo hat hatte hier
    ich ihm ihn ihr ihre im in ins ist ja jede jeder jetzt kann kannst kein keine konnen man mein meine mich
    mir mit muss nach nicht noch nun nur ob oder ohne schon sehr sein seine sich sie sind so soll uber um und
    uns unser unter vom von vor wann war warum was welche welcher welches wenn wer werden wie wieder will
    wir wird wo wurde zu zum zur""",
        "french": """
    a ai au aux avec bonjour c ce cela ces cet cette comment d dans de des du elle en est et etes etre ete
    eu il ils j je l la le les leur lui m ma mais me mes moi mon n ne nos notre nous on ont ou par pas peut
    plus pour pourquoi qu quand que quel quelle quelles quels qui s sa sans se ses si son sont sur t ta te
    tes toi ton tous tout tu un une vos votre vous y""",
        "spanish": """
    a al como con cual cuando de del desde donde el ella ellos en entre es esa ese esta este estos fue ha
    hay hola la las le lo los mas me mi muy no nos o para pero por porque puede que quien se ser si sin
    sobre son su sus tambien te tiene un una uno unos y ya yo""",
        "italian": """
    a ai al alla alle anche che chi ci ciao come con cosa da dal dalla dei del della delle di dove e ed era
    gli ha hanno ho i il in io la le lo ma mi mia mio nel nella nelle no noi non o per perche piu puo quale
    quando quanto questa questo se si sia sono su sua sul sulla suo tra un una uno voi""",
        "portuguese": """
    a ao aos as com como da das de dele do dos e ela ele em entre era essa esse esta este eu foi ha isso ja
    la lhe mais mas me meu minha muito na nao nas nem no nos o ola onde os ou para pela pelo por porque qual
    quando que quem se sem ser seu seus so sua suas tambem te tem um uma voce""",
        "dutch": """
    aan al als bij dan dat de deze die dit door een en er geen had heb hebben heeft het hier hij hoe hun ik
    in is je kan kunnen maar me meer met mijn moet naar niet nog nu of om onder ons ook op over te tot uit
    van veel voor waar waarom wanneer want was wat we wel welke wie wij worden wordt zal ze zich zij zijn""",
        "swedish": """
    alla att av blev bli de dem den denna det dig din dina du efter en er ett finns for fran ha har hon hur
    i inte jag kan man med men min mitt nar nu och om over pa sa sig sin ska skulle som till under upp ut
    vad var varfor vara vem vi vid vilken""",
        "danish": """
    af alle at blev bliver da de dem den der deres det dette dig din du efter eller en er et for fra ham han
    har havde hun hvad hvem hvilken hvis hvor hvordan hvorfor i ikke jeg kan man med mig min naar ned nu og
    om op over pa sig skal skulle som til ud under var vi vil""",
        "norwegian": """
    alle at av ble bli da de den der det dette du eller en er et etter for fra ha hadde han har hun hva
    hvem hvilken hvis hvor hvordan hvorfor i ikke jeg kan man med meg men min na nar og om opp pa seg skal
    som til ut var vi vil vaere""",
        "finnish": """
    ei etta han he ja jos joka kanssa kuin kun me mika miksi milloin minka mina miten mutta myos ne niin
    nyt oli olla on ovat se sen sina tai tama te vain voi""",
        "polish": """
    ale bo byc byl byla bylo co czy dla do gdy gdzie i ich ile jak jakie jest jestem kiedy kto ktora ktory
    lub ma mnie moze moj na nie o od oraz po pod przez sa sie ta tak te tego ten to tu ty w we z za ze""",
        "czech": """
    a aby ale ano bude by byl byla bylo co do ho i ja jak jako je jeho jen jsem jsou kde kdo kdy ktera
    ktery ma mi mit na nebo nez o od po pod pro proc s se si ta tak tam to tohle u v ve z za ze""",
        "hungarian": """
    a az be csak de egy el ez es ha hogy hogyan hol is ki lehet meg mert mi miert mikor mit nem o ott s
    vagy van volt""",
        "romanian": """
    a acest am ar as au ca care ce cel cu cum de din e ea el este eu fi fost ii il in la le mai nu o pe
    pentru prin sa sau se si sunt un unde una""",
        "turkish": """
    ama bir bu cok da daha de degil diye en gibi hangi her icin ile ise ki kim mi nasil ne neden nerede o
    olan olarak sonra su var ve veya ya""",
        "indonesian": """
    ada adalah akan apa atau bagaimana bahwa dalam dan dapat dari di dengan ini itu juga kami kapan karena
    ke kita mana mengapa oleh pada saya sebagai siapa tidak untuk yang""",
        "catalan": """
    a al amb aquest aquesta com de del dels el els en es esta ha hi i la les mes no o on per pero perque
    que qui quin quina se ser si son un una""",
        "russian": """
    а без бы был была были быть в вам вас во вот все вы где да для до его ее если есть еще же за и из или
    им их к как какой когда которые который кто ли мне мы на над не него нет но о об он она они от по под
    почему при с со так такой там то только ты у уже чем что чтобы это этот я""",
        "greek": """
    αν απο για δε δεν εγω ειναι ενα η θα και με μια μου να ο οι οπως οταν πως που σε σου στη στην στο στον
    τα τη την της τι το τον του των""",
        "arabic": "في من على الى عن ان لا ما هذا هذه هو هي التي الذي كان قد او ثم لم كيف متي اين هل",
        "hindi": "का के की है हैं में से को और पर यह वह एक ने भी नहीं कि जो कैसे क्या कब कहाँ हो था थी",
    }.items()
}
_SCRIPTS = {
    "CYRILLIC": "russian",
    "GREEK": "greek",
    "ARABIC": "arabic",
    "DEVANAGARI": "hindi",
    "ARMENIAN": "armenian",
    "TAMIL": "tamil",
}
_BY_WORD: dict[str, tuple[str, ...]] = {}
for _language, _words in SMALL.items():
    for _word in _words:
        _BY_WORD[_word] = (*_BY_WORD.get(_word, ()), _language)

LANGUAGES = tuple(sorted({*SMALL, *_SCRIPTS.values()}))
# ISO 639-1, as people write it into a configuration.
CODES = dict(
    pair.split("=")
    for pair in str.split(
        "ar=arabic hy=armenian ca=catalan cs=czech da=danish nl=dutch en=english fi=finnish fr=french "
        "de=german el=greek hi=hindi hu=hungarian id=indonesian it=italian no=norwegian pl=polish "
        "pt=portuguese "
        "ro=romanian ru=russian es=spanish sv=swedish ta=tamil tr=turkish"
    )
)
_MAKING = threading.Lock()


class _Stemmer(Protocol):
    def stemWord(self, word: str) -> str: ...  # noqa: N802 - the library's name


def language_of(text: str) -> str:
    """The language of a text; "" where it does not tell."""
    script = _script(text[:READ_LETTERS])
    if script != "LATIN":
        return _SCRIPTS.get(script, "")
    hits: Counter[str] = Counter()
    for word, times in Counter(word.strip(_EDGES) for word in fold(text[:READ_LETTERS]).split()).items():
        for language in _BY_WORD.get(word, ()):
            hits[language] += times
    best = hits.most_common(2)
    if not best or best[0][1] < FEWEST_HITS or (len(best) > 1 and best[1][1] == best[0][1]):
        return ""
    return best[0][0]


def is_english(question: str) -> bool:
    """Whether a question is English, or may be: nothing of it belongs to another language alone."""
    if not question.isascii():
        return False
    told = language_of(question)
    if told:
        return told == "english"
    spoken = (_BY_WORD.get(word.strip(_EDGES), ("english",)) for word in fold(question).split())
    return all("english" in languages for languages in spoken)


def small(word: str, languages: Iterable[str]) -> bool:
    """True for a folded word that carries no meaning in one of the languages."""
    found = _BY_WORD.get(word)
    return found is not None and any(language in found for language in languages)


@lru_cache(maxsize=100_000)
def stem(word: str, language: str) -> str:
    """The folded stem of a word in small letters; the folded word where the language has no stemmer."""
    if len(word) <= 2 or language not in LANGUAGES:
        return fold(word)
    stemmer = _stemmer(language)
    with _MAKING:  # a stemmer keeps the word that it works on
        return fold(stemmer.stemWord(word)) or fold(word)


@cache
def _stemmer(language: str) -> _Stemmer:
    import snowballstemmer  # noqa: PLC0415 - a command that searches nothing needs none

    made: _Stemmer = snowballstemmer.stemmer(language)
    if hasattr(made, "maxCacheSize"):  # of the one in C; words are known here already
        made.maxCacheSize = 0
    return made


@cache
def stems_of() -> str:
    """Which release of the algorithms makes the stems, as `3.1`; of another one they may be others.

    snowballstemmer takes PyStemmer, the same in C, wherever that is installed; each has a release of its own.
    """
    made_by = "PyStemmer" if find_spec("Stemmer") else "snowballstemmer"
    return ".".join(version(made_by).split(".")[:2])


def _script(text: str) -> str:
    """The script of most letters of a text."""
    if text.isascii():
        return "LATIN"
    letters = Counter(c for c in text if c.isalpha())
    scripts: Counter[str] = Counter()
    for letter, count in letters.items():
        scripts[unicodedata.name(letter, "?").partition(" ")[0]] += count
    return scripts.most_common(1)[0][0] if scripts else "LATIN"


_EDGES = ".,;:!?()[]{}<>\"'’“”„«»¿¡`*_-–—…#|=/"
