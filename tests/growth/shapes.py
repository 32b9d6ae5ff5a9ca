"""Text that makes a careless pattern or loop look at the same letters again and again."""

from __future__ import annotations

import gc
import math
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import permutations
from re import _constants as op  # type: ignore[attr-defined]  # what a pattern is made of stands only there
from re import _parser as parser  # type: ignore[attr-defined]
from time import thread_time
from typing import Any

Work = Callable[[Any], object]
Make = Callable[[int], Any]

# The power of its size that the work may grow with: 1 is one pass, 2 a square, and sorting is little over 1.
MOST_POWER = 1.6
FACTOR = 4
# What takes less than this at the larger size cannot be told from the clock's own grain.
GRAIN_S = 0.004
TRIES = 4

_REPEATS = frozenset({op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT})
_OF_CATEGORY = {
    op.CATEGORY_DIGIT: "1",
    op.CATEGORY_SPACE: " ",
    op.CATEGORY_WORD: "a",
    op.CATEGORY_NOT_DIGIT: "a",
    op.CATEGORY_NOT_SPACE: "a",
    op.CATEGORY_NOT_WORD: "-",
}


def growth(work: Work, make: Make, size: int) -> float:
    """The power of the size that the work grows with, from `make(size)` to four times that.

    0 where it is too little to tell. CPU time of this thread, the least of several tries. That is not free of
    what else the machine does: what no longer fits into a cache that others use takes twice as long, once. So
    what looks like more than a pass is looked at over a wider span, where a square is sixteen times a pass.
    """
    power = _power(work, make, size, FACTOR)
    if power > MOST_POWER:
        power = min(power, _power(work, make, size // FACTOR, FACTOR * FACTOR))
    return power


def _power(work: Work, make: Make, size: int, factor: int) -> float:
    small, large = make(size), make(factor * size)
    best = math.inf
    for _ in range(TRIES):
        ours = _took(work, large)
        if ours < GRAIN_S:
            return 0.0
        # As often as makes them equal where all is well: a clock with a coarse grain errs on both alike.
        theirs = _took(lambda given: [work(given) for _ in range(factor)], small)
        best = min(best, 1 + math.log(ours / max(theirs, 1e-9), factor))
        if best <= MOST_POWER:
            break
    return best


def _took(work: Work, given: Any) -> float:
    # The collector walks everything that other tests have made, not what this one did.
    gc.disable()
    begun = thread_time()
    try:
        work(given)
    finally:
        took = thread_time() - begun
        gc.enable()
    return took


def tokens(pattern: re.Pattern[Any], most: int) -> list[str]:
    """Pieces of text that parts of the pattern like: its letters, one of each class, its words."""
    found = dict.fromkeys(_tokens(_tree(pattern)))
    whole = [token for token in found if len(token) > 1]
    # Letters first: what repeats is mostly a class.
    return [*(token for token in found if len(token) == 1), *whole][:most]


def example(pattern: re.Pattern[Any]) -> str:
    """A short text that the pattern likes, with each of its parts once where that is allowed."""
    return _example(_tree(pattern))


def pumped(pattern: re.Pattern[Any]) -> Iterator[tuple[str, Make]]:
    """Named texts of about any size: a piece again and again, alone and within an example."""
    pieces = tokens(pattern, 6)
    pairs = [one + other for one, other in permutations(pieces[:4], 2)]
    sample = example(pattern)
    step = max(1, len(sample) // 8)
    for piece in (*pieces, *pairs):
        yield f"{piece!r}…", partial(_filled, pattern, "", piece, "")
        for place in range(0, len(sample) + 1, step):
            before, behind = sample[:place], sample[place:]
            for end in ("", "\x00"):
                made = partial(_filled, pattern, before, piece, behind + end)
                yield f"{before!r} {piece!r}… {behind + end!r}", made


def _filled(pattern: re.Pattern[Any], before: str, piece: str, behind: str, size: int) -> Any:
    return _as(pattern, before + (piece * (size // len(piece) + 1))[:size] + behind)


def _as(pattern: re.Pattern[Any], text: str) -> Any:
    return text.encode("latin-1", "replace") if isinstance(pattern.pattern, bytes) else text


def _tree(pattern: re.Pattern[Any]) -> Any:
    if isinstance(pattern.pattern, bytes):
        return parser.parse(pattern.pattern.decode("latin-1"), pattern.flags)
    return parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)


def _tokens(tree: Iterable[tuple[Any, Any]]) -> Iterator[str]:
    run = ""
    inner: list[Any] = []
    for code, value in tree:
        if code is op.LITERAL:
            run += chr(value)
            continue
        yield from _of_run(run)
        run = ""
        inner.append((code, value))
    yield from _of_run(run)
    for code, value in inner:
        yield from _of_part(code, value)


def _of_run(run: str) -> Iterator[str]:
    if run:
        yield run[0]
        if len(run) > 1:
            yield run


def _of_part(code: Any, value: Any) -> Iterator[str]:
    one = _one(code, value)
    if one:
        yield one
    for part in _inside(code, value):
        yield from _tokens(part)


def _one(code: Any, value: Any) -> str:
    """What one letter of the text may be here; "" where it is none."""
    if code is op.LITERAL:
        return chr(value)
    if code is op.ANY:
        return "a"
    if code is op.NOT_LITERAL:
        return "a" if value != ord("a") else "b"
    return _of_class(value) if code is op.IN else ""


def _inside(code: Any, value: Any) -> list[Any]:
    if code is op.BRANCH:
        return list(value[1])
    if code is op.ATOMIC_GROUP:
        return [value]
    return [part for part in value if isinstance(part, parser.SubPattern)] if isinstance(value, tuple) else []


def _example(tree: Iterable[tuple[Any, Any]]) -> str:
    found = ""
    for code, value in tree:
        if code in {op.ASSERT, op.ASSERT_NOT}:
            continue
        times = max(1, min(value[0], 8)) if code in _REPEATS else 1
        inside = _inside(code, value)
        found += (_one(code, value) or (_example(inside[0]) if inside else "")) * times
    return found


def _of_class(members: Iterable[tuple[Any, Any]]) -> str:
    listed = list(members)
    if listed[0][0] is op.NEGATE:
        shut = re.compile("[" + "".join(_again(member) for member in listed[1:]) + "]")
        return next(letter for letter in "a1 -.,\n\x00" if not shut.match(letter))
    code, value = listed[0]
    if code is op.RANGE:
        return chr(value[0])
    return _OF_CATEGORY[value] if code is op.CATEGORY else chr(value)


def _again(member: tuple[Any, Any]) -> str:
    code, value = member
    if code is op.RANGE:
        return f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
    if code is op.CATEGORY:
        return {"1": r"\d", " ": r"\s", "a": r"\w", "-": r"\W"}[_OF_CATEGORY[value]]
    return re.escape(chr(value))
