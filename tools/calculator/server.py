"""An MCP server for arithmetic: exact fractions inside, plain numbers outside."""

from __future__ import annotations

import ast
import math
import operator
import re
import warnings
from collections.abc import Callable
from fractions import Fraction
from typing import Annotated

from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field, WithJsonSchema

MAX_LENGTH = 500  # characters of an expression
MAX_DEPTH = 40
MAX_BITS = 40_000  # of any intermediate number; about 12,000 digits
MAX_DIGITS = 1_000  # of a result
PRECISION = 15  # significant digits of a result that has no short exact form

server = FastMCP("calculator", log_level="WARNING")
# What is asked of them changes nothing.
READS = ToolAnnotations(readOnlyHint=True)

# An integer stays exact however long it is; the model is shown a plain number.
Number = Annotated[int | float, WithJsonSchema({"type": "number"})]
First = Annotated[Number, Field(description="The first number")]
Second = Annotated[Number, Field(description="The second number")]


def exact(number: int | float) -> Fraction:
    """The number as it was written: 0.1 is one tenth."""
    if isinstance(number, float) and not math.isfinite(number):
        raise ToolError(f"{number} is not a number that can be calculated with")
    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)


def plain(value: Fraction) -> str:
    """The number as a person writes it: 8, 0.3, 0.333333333333333."""
    if value.denominator == 1:
        if value.numerator.bit_length() > MAX_DIGITS * 3.33:
            raise ToolError(f"the result has more than {MAX_DIGITS} digits")
        return str(value.numerator)
    places = _decimal_places(value.denominator)
    if places is not None and places <= 30:
        scaled = abs(value.numerator) * 10**places // value.denominator
        digits = str(scaled).rjust(places + 1, "0")
        return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"
    return _rounded(value)


def _decimal_places(denominator: int) -> int | None:
    """Digits after the point where the decimal form ends; None where it goes on for ever."""
    twos = (denominator & -denominator).bit_length() - 1
    denominator >>= twos
    fives = 0
    while denominator % 5 == 0:
        denominator, fives = denominator // 5, fives + 1
    return max(twos, fives) if denominator == 1 else None


def _rounded(value: Fraction) -> str:
    try:
        return format(float(value), f".{PRECISION}g")
    except OverflowError:
        raise ToolError("the result is too large to be shown") from None


def _bounded(value: Fraction) -> Fraction:
    if value.numerator.bit_length() + value.denominator.bit_length() > MAX_BITS:
        raise ToolError("the numbers become too large")
    return value


def _divide(a: Fraction, b: Fraction) -> Fraction:
    if b == 0:
        raise ToolError("division by zero is not defined")
    return a / b


def _modulo(a: Fraction, b: Fraction) -> Fraction:
    if b == 0:
        raise ToolError("the remainder of a division by zero is not defined")
    return a % b


def _floor_divide(a: Fraction, b: Fraction) -> Fraction:
    return Fraction(math.floor(_divide(a, b)))


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if base == 0 and exponent < 0:
        raise ToolError("zero to a negative power is not defined")
    if exponent.denominator == 1:
        size = base.numerator.bit_length() + base.denominator.bit_length()
        if abs(exponent) * size > MAX_BITS:
            raise ToolError(f"the power {plain(exponent)} makes the number too large")
        return base ** int(exponent)
    if base < 0:
        raise ToolError("a negative number has no real power with a fractional exponent")
    return _inexact(math.pow, float(base), float(exponent))


def _inexact(function: Callable[..., float], *arguments: float) -> Fraction:
    """A function on floating-point numbers, its result read as the digits that are certain."""
    try:
        result = function(*arguments)
    except (ValueError, OverflowError):
        raise ToolError(f"{function.__name__} is not defined for these numbers") from None
    if not math.isfinite(result):
        raise ToolError("the result is too large")
    return Fraction(format(result, f".{PRECISION}g"))


def _square_root(value: Fraction) -> Fraction:
    if value < 0:
        raise ToolError("a negative number has no real square root")
    top, bottom = math.isqrt(value.numerator), math.isqrt(value.denominator)
    if top * top == value.numerator and bottom * bottom == value.denominator:
        return Fraction(top, bottom)
    return _inexact(math.sqrt, float(value))


def _round(value: Fraction, places: Fraction = Fraction(0)) -> Fraction:
    if places.denominator != 1 or not 0 <= places <= 30:
        raise ToolError("round takes 0 to 30 places")
    scale = 10 ** int(places)
    half_up = math.floor(abs(value) * scale + Fraction(1, 2))
    return Fraction(half_up if value >= 0 else -half_up, scale)


_BINARY: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: _divide,
    ast.FloorDiv: _floor_divide,
    ast.Mod: _modulo,
    ast.Pow: _power,
}
_FUNCTIONS: dict[str, tuple[Callable[..., Fraction], range]] = {
    "abs": (abs, range(1, 2)),
    "sqrt": (_square_root, range(1, 2)),
    "round": (_round, range(1, 3)),
    "floor": (lambda x: Fraction(math.floor(x)), range(1, 2)),
    "ceil": (lambda x: Fraction(math.ceil(x)), range(1, 2)),
    "min": (min, range(1, 50)),
    "max": (max, range(1, 50)),
    "sum": (lambda *xs: sum(xs, Fraction(0)), range(1, 50)),
    "log": (lambda x: _inexact(math.log, float(x)), range(1, 2)),
    "log10": (lambda x: _inexact(math.log10, float(x)), range(1, 2)),
    "exp": (lambda x: _inexact(math.exp, float(x)), range(1, 2)),
    "sin": (lambda x: _inexact(math.sin, float(x)), range(1, 2)),
    "cos": (lambda x: _inexact(math.cos, float(x)), range(1, 2)),
    "tan": (lambda x: _inexact(math.tan, float(x)), range(1, 2)),
}
_SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-"})
_CONSTANTS = {"pi": Fraction("3.14159265358979"), "e": Fraction("2.71828182845905")}


def calculate(expression: str) -> Fraction:
    """The value of an expression. Nothing but numbers, operators and the named functions is understood."""
    if len(expression) > MAX_LENGTH:
        raise ToolError(f"the expression is longer than {MAX_LENGTH} characters")
    text = _as_python(expression)
    if not text:
        raise ToolError("the expression is empty")
    try:
        with warnings.catch_warnings(action="ignore"):  # the parser warns of what we refuse anyway
            tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ToolError(f"'{expression.strip()[:80]}' is not an arithmetic expression") from None
    return _value(tree.body, text, 0)


def _as_python(expression: str) -> str:
    """The expression with the signs that people write: ^, ×, ÷, 5 x 3, 1,000."""
    text = expression.strip().rstrip("=? ").translate(_SIGNS).replace("^", "**")
    text = re.sub(r"(?<=[\d)])\s+x\s+(?=[\d(])", " * ", text)
    if not re.search(r"[A-Za-z]", text):  # a comma between arguments is another thing
        text = re.sub(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?!\d)", lambda m: m[0].replace(",", ""), text)
    return text


def _value(node: ast.expr, text: str, depth: int) -> Fraction:
    if depth > MAX_DEPTH:
        raise ToolError("the expression is nested too deeply")
    match node:
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            return _literal(ast.get_source_segment(text, node) or repr(node.value))
        case ast.BinOp(left, op, right) if type(op) in _BINARY:
            operands = _value(left, text, depth + 1), _value(right, text, depth + 1)
            return _bounded(_BINARY[type(op)](*operands))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, text, depth + 1)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, text, depth + 1)
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return _call(name, [_value(arg, text, depth + 1) for arg in args])
    known = ", ".join([*_FUNCTIONS, *_CONSTANTS])
    raise ToolError(f"only numbers, + - * / // % ** ( ) and {known} are understood")


def _literal(written: str) -> Fraction:
    """The number as it was typed, so that 0.1 is one tenth; other bases by Python's rules."""
    exponent = re.fullmatch(r"[\d._]*[eE]([+-]?\d+)", written)
    if exponent and abs(int(exponent[1])) > MAX_DIGITS * 4:
        raise ToolError(f"the number {written[:40]} is too large or too small")
    try:
        return _bounded(Fraction(written.replace("_", "")))
    except (ValueError, OverflowError):
        return _bounded(Fraction(int(written, 0)))


def _call(name: str, arguments: list[Fraction]) -> Fraction:
    function, counts = _FUNCTIONS[name]
    if len(arguments) not in counts:
        raise ToolError(f"{name} takes {counts.start} to {counts.stop - 1} numbers, not {len(arguments)}")
    try:
        return _bounded(function(*arguments))
    except OverflowError:
        raise ToolError(f"{name} is not defined for numbers of this size") from None


@server.tool(annotations=READS, structured_output=False)
def add(a: First, b: Second) -> str:
    """Add two numbers: a plus b, the sum."""
    return plain(exact(a) + exact(b))


@server.tool(annotations=READS, structured_output=False)
def subtract(
    a: Annotated[Number, Field(description="The number to subtract from")],
    b: Annotated[Number, Field(description="The number to subtract")],
) -> str:
    """Subtract one number from another: a minus b, the difference."""
    return plain(exact(a) - exact(b))


@server.tool(annotations=READS, structured_output=False)
def multiply(a: First, b: Second) -> str:
    """Multiply two numbers: a times b, the product."""
    return plain(exact(a) * exact(b))


@server.tool(annotations=READS, structured_output=False)
def divide(
    a: Annotated[Number, Field(description="The number to divide, the dividend")],
    b: Annotated[Number, Field(description="The number to divide by, the divisor; not zero")],
) -> str:
    """Divide one number by another: a divided by b, the quotient."""
    return plain(_divide(exact(a), exact(b)))


@server.tool(annotations=READS, structured_output=False)
def power(
    base: Annotated[Number, Field(description="The base")],
    exponent: Annotated[Number, Field(description="The exponent")],
) -> str:
    """Raise a number to a power: base to the power of exponent, also squared and cubed."""
    return plain(_power(exact(base), exact(exponent)))


@server.tool(annotations=READS, structured_output=False)
def evaluate(
    expression: Annotated[
        str, Field(description="An arithmetic expression such as (5 + 3) * 2", max_length=MAX_LENGTH)
    ],
) -> str:
    """Calculate, compute or evaluate an arithmetic expression with numbers, brackets, + - * / // % ** and
    functions such as sqrt, round, min, max, log and sin."""
    return plain(calculate(expression))


if __name__ == "__main__":
    server.run()
