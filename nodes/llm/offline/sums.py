"""Sums to be worked out, as people write them: in signs, in words, and of what was said before."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import partial

from nodes.llm.offline.words import SMALL_TALK, Found, listed, moments_in

_NUMBERS = listed("zero one two three four five six seven eight nine ten eleven twelve")
LONGEST_SUM = 500
"""Characters of a text in which a sum is looked for."""
NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+"
_NUMBER = re.compile(rf"(?<![\w.])-?(?:{NUMBER})(?![\w]|\.\d)")
_ISO_DAY = re.compile(r"\b\d{4}-\d{1,2}-\d{1,2}\b")
_N = rf"(\((?:-(?:{NUMBER}))\)|-?(?:{NUMBER}))"
_LIST = rf"({_N}(?:\s*(?:,|and|with|to|,\s*and)\s*-?(?:{NUMBER}))+)"
_NO_NUMBERS = re.compile(
    r"\b\d{4}-\d{1,2}-\d{1,2}\b|\b\d{1,2}:\d{2}\b|\b\d+(?:\.\d+){2,}\b|\b\d{1,2}/\d{1,2}/\d{2,4}\b"
)
_CHANGES = {"doubled": "* 2", "tripled": "* 3", "halved": "/ 2", "squared": "** 2", "cubed": "** 3"}
_CHANGED = "|".join(_CHANGES)
_LISTS = {
    rf"\b(?:add(?:ing)?|(?:the )?(?:sum|total) of|sum(?: up)?) {_LIST}": (" + ", ""),
    rf"\b(?:the )?product of {_LIST}": (" * ", ""),
    rf"\b(?:the )?(?:average|mean) of {_LIST}": (" + ", " / {count}"),
}
_PHRASES = {
    rf"{_N}\s*(?:%|percent|per cent) of {_N}": r"(\2 * \1 / 100)",
    rf"(?:the )?square root of {_N}": r"(\1 ** 0.5)",
    rf"(?:the )?(?:double|twice)(?: of)? {_N}": r"(\1 * 2)",
    rf"(?:the )?(?:triple|thrice)(?: of)? {_N}": r"(\1 * 3)",
    rf"(?:a |the )?half of {_N}": r"(\1 / 2)",
    rf"{_N},? twice\b": r"(\1 * 2)",
    **{rf"{_N},? (?:and )?{word}\b": rf"(\1 {change})" for word, change in _CHANGES.items()},
    rf"\bsquare(?: of)? {_N}": r"(\1 ** 2)",
    rf"\bsubtract {_N} from {_N}": r"(\2 - \1)",
    rf"\b(?:subtract|(?:the )?difference (?:between|of)) {_N}(?: and|,) {_N}": r"(\1 - \2)",
    rf"\b(?:divide|(?:the )?quotient of) {_N} (?:by|and|with) {_N}": r"(\1 / \2)",
    rf"\bmultiply {_N} (?:by|and|with) {_N}": r"(\1 * \2)",
    r"\bto the power of\b|\braised to(?: the)?\b|\*\*|\^": " ** ",
    r"\bmultiplied by\b|\btimes\b|[×·]|(?<=\d)\s*x\s*(?=\d)": " * ",
    r"\bdivided by\b|÷": " / ",
    r"\bplus\b": " + ",
    r"\bminus\b|−": " - ",
    r"\bmod(?:ulo)?\b": " % ",
}
_THEN = re.compile(rf"^(.*?),?\s+(?:and|then|and then) ({_CHANGED})\W*$", re.IGNORECASE)
_PREVIOUS = re.compile(r"\b(?:that|it|this|the (?:result|answer|previous one)|those)\b", re.IGNORECASE)
_LEADING = re.compile(
    r"^\W*(?:(?:and|now|then|what about|what is|what's|so|okay|ok|please) )*", re.IGNORECASE
)
_OF_IT = re.compile(r"(?:double|twice|triple|half)\W*$", re.IGNORECASE)
_GOES_ON = re.compile(
    rf"(?!-\d)(?:{_CHANGED}|plus|minus|times|divided by|multiplied by|to the power of|[-+*/^×÷])"
    r"(?:\W*$|\s+(?:by\s+)?-?[\d(])",
    re.IGNORECASE,
)
_SUM = re.compile(rf"(?:[-+]\s*)?[(\s]*-?(?:{NUMBER})(?:[\s()]|{NUMBER}|\*\*|[-+*/%](?!\*))*", re.IGNORECASE)
_PIECE = re.compile(rf"{NUMBER}|\*\*|[-+*/%()]")
_SIGN = re.compile(r"(?<=[\d.)])(\*\*|[-+*/%])")
_OF_TWO = re.compile(rf"^{_N} (\*\*|[-+*/%]) {_N}$")
_NUMBER_WORD = re.compile(rf"\b(?:{'|'.join(_NUMBERS)})\b", re.IGNORECASE)
_IN_A_NUMBER = re.compile(rf"[$€£]\s*(?={NUMBER})|(?<=\d),(?=\d{{3}}\b)")


def numbers_in(text: str) -> list[Found]:
    """The numbers of the text that are no part of a moment, in order."""
    # A day that does not exist is no date, and no three numbers either.
    moments = [*moments_in(text), *(Found("", m.start(), m.end()) for m in _ISO_DAY.finditer(text))]
    found = [Found(_value(m.group()), m.start(), m.end()) for m in _NUMBER.finditer(text)]
    return [number for number in found if all(map(number.apart, moments))]


def _value(written: str) -> int | float:
    value = float(written.replace(",", ""))
    return int(value) if value.is_integer() else value


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A sum that was read from a sentence."""

    expression: str

    @property
    def binary(self) -> tuple[str, int | float, int | float] | None:
        """(operator, left, right) when there are just two numbers."""
        found = _OF_TWO.match(self.expression)
        return (found[2], _value(found[1].strip("()")), _value(found[3].strip("()"))) if found else None


def read_sum(text: str, previous: str | None = None) -> Arithmetic | None:
    """The sum that the sentence asks for, or None when it asks for something else.

    Args:
        previous: The number that "that", "doubled" and the like refer to.
    """
    if len(text) > LONGEST_SUM:
        return None
    text = " ".join(text.split())
    then = _THEN.match(text)
    if then and (first := read_sum(then[1], previous)):
        return Arithmetic(f"({first.expression}) {_CHANGES[then[2].lower()]}")
    line = _NUMBER_WORD.sub(lambda m: str(_NUMBERS.index(m.group().lower())), _NO_NUMBERS.sub(" date ", text))
    line = _IN_A_NUMBER.sub("", line)
    return _only_sum(_phrases(line if previous is None else _with_previous(line, previous)))


def _with_previous(line: str, previous: str) -> str:
    number = f"({previous})" if previous.startswith("-") else previous
    rest = _LEADING.sub("", line, count=1)
    if _OF_IT.match(rest):
        return f"{rest.rstrip('?.! ')} of {number}"
    return f"{number} {rest}" if _GOES_ON.match(rest) else _PREVIOUS.sub(f" {number} ", line)


def _phrases(line: str) -> str:
    """The line with its words for an operation written as signs."""
    line = " ".join(line.split())
    for pattern, (sign, after) in _LISTS.items():
        line = re.sub(pattern, partial(_joined, sign=sign, after=after), line, flags=re.IGNORECASE)
    for pattern, written in _PHRASES.items():
        line = re.sub(pattern, partial(_filled, written=written), line, flags=re.IGNORECASE)
    return line


def _joined(match: re.Match[str], *, sign: str, after: str) -> str:
    numbers = re.findall(rf"-?(?:{NUMBER})", match[1])
    return f"(({sign.join(numbers)}){after.format(count=len(numbers))})"


def _filled(match: re.Match[str], *, written: str) -> str:
    """The phrase's expression; negative numbers in brackets, so that a power takes their sign along."""
    for place, number in enumerate(match.groups(), 1):
        written = written.replace(f"\\{place}", f"({number})" if number.startswith("-") else number)
    return written


def _only_sum(line: str) -> Arithmetic | None:
    """The longest sum of the line, if nothing but small talk stands around it."""
    for match in sorted(_SUM.finditer(line), key=lambda m: -len(m.group())):
        expression = _written(match.group())
        if expression is not None:
            rest = re.findall(r"[^\W_]+", f"{line[: match.start()]} {line[match.end() :]}".lower())
            return Arithmetic(expression) if SMALL_TALK.issuperset(rest) else None
    return None


def _written(text: str) -> str | None:
    """The text as a well-formed expression with at least one operation, or None."""
    pieces = _PIECE.findall(text.rstrip("-+*/% "))
    try:
        whole = ast.parse(
            " ".join("n" if piece[-1].isdigit() else piece for piece in pieces), mode="eval"
        ).body
    except SyntaxError:
        return None
    nodes = list(ast.walk(whole))
    if not all(map(_of_a_sum, nodes)) or not any(isinstance(node, ast.BinOp) for node in nodes):
        return None
    around = whole.col_offset // 2  # brackets around the whole
    return _SIGN.sub(r" \1 ", "".join(pieces[around : len(pieces) - around]))


def _of_a_sum(node: ast.AST) -> bool:
    """Numbers, operations, and one minus before a number or a bracket."""
    if isinstance(node, ast.UnaryOp):
        return not (isinstance(node.operand, ast.UnaryOp) and node.operand.col_offset == node.col_offset + 2)
    return isinstance(node, (ast.BinOp, ast.operator, ast.USub, ast.Name, ast.Load))
