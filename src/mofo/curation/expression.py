"""Expressions over the columns of a table, such as ``moving > .2 and camera < .5``.

They look like Python and are read by Python's parser, but nothing of them is run: the few forms
that are known become expressions of pyarrow.
"""

from __future__ import annotations

import ast
import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from mofo.registry import unknown
from mofo.types import SettingsError

Operators = dict[type[ast.AST], Callable[..., Any]]
_COMPARE: Operators = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
_ARITHMETIC: Operators = {
    ast.Add: pc.add, ast.Sub: pc.subtract, ast.Mult: pc.multiply, ast.Div: pc.divide,
}  # fmt: skip
_KNOWN = "known are and, or, not, in, < <= > >= == !=, + - * /, numbers, 'texts' and columns"


@dataclass(frozen=True)
class Part:
    """One of the conditions that all have to hold.

    Attributes:
        text: as the user wrote it.
        keeps_V: bool, the rows for which it holds; unknown values never do.
    """

    text: str
    keeps_V: pa.Array


def evaluate(text: str, table: pa.Table) -> list[Part]:
    """Evaluates the parts of an expression that are joined by ``and`` on all rows of a table.

    Raises:
        SettingsError: the expression cannot be read, names an unknown column, or compares a column
            with what it cannot be compared with.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SettingsError(f"{text!r} is no expression ({error.args[0]}): {_KNOWN}") from None
    nodes = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
    parts = []
    for node in nodes:
        source = ast.unparse(node)
        condition = _translated(node, table.schema.names)
        try:
            kept = ds.dataset(table).to_table(columns={"kept": condition})["kept"]
            keeps_V = pc.fill_null(kept.cast(pa.bool_()), False)
        except pa.ArrowException as error:
            reason = " ".join(str(error).split())[:150]
            raise SettingsError(f"{source!r} cannot be computed: {reason}") from None
        parts.append(Part(source, keeps_V.combine_chunks()))
    return parts


def _translated(node: ast.expr, names: Sequence[str]) -> pc.Expression:
    """The node as an expression of pyarrow."""
    read = functools.partial(_translated, names=names)
    match node:
        case ast.Constant(value=bool() | str() as value):
            return pc.scalar(value)
        case ast.Constant(value=int() | float() as value):
            return pc.scalar(float(value))
        case ast.Name():
            if node.id not in names:
                hint = unknown("column", node.id, names)
                raise SettingsError(f"{hint} (texts stand in quotes: '{node.id}')")
            return pc.field(node.id)
        case ast.BoolOp():
            join = operator.and_ if isinstance(node.op, ast.And) else operator.or_
            return functools.reduce(join, [read(value) for value in node.values])
        case ast.UnaryOp(op=ast.Not()):
            return ~read(node.operand)
        case ast.UnaryOp(op=ast.USub()):
            return pc.negate(read(node.operand))
        case ast.BinOp() if type(node.op) in _ARITHMETIC:
            left, right = (read(side).cast(pa.float64()) for side in (node.left, node.right))
            return _ARITHMETIC[type(node.op)](left, right)
        case ast.Compare():
            return _comparison(node, read)
    raise SettingsError(f"{ast.unparse(node)!r} is not understood: {_KNOWN}")


def _comparison(node: ast.Compare, read: Callable[[ast.expr], pc.Expression]) -> pc.Expression:
    """``a < b <= c``, or ``a in ('x', 'y')``."""
    left, tests = node.left, []
    for kind, right in zip(node.ops, node.comparators, strict=True):
        if isinstance(kind, ast.In | ast.NotIn) and isinstance(right, ast.Tuple | ast.List):
            values = [value.value for value in right.elts if isinstance(value, ast.Constant)]
            if len(values) < len(right.elts):
                raise SettingsError(f"{ast.unparse(right)!r}: only texts and numbers stand there")
            inside = read(left).isin(values)
            tests.append(inside if isinstance(kind, ast.In) else ~inside)
        elif type(kind) in _COMPARE:
            tests.append(_COMPARE[type(kind)](read(left), read(right)))
        else:
            raise SettingsError(f"{ast.unparse(node)!r} is not understood: {_KNOWN}")
        left = right
    return functools.reduce(operator.and_, tests)
