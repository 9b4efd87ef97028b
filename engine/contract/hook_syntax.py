"""The part of Python that runs alike in CPython and compiled: numbers, Structs, conditions and counted loops."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from papertape.engine.contract.breach import Breach

if TYPE_CHECKING:
    from collections.abc import Iterator

ALLOWED: Final = (
    *(ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr),
    *(ast.If, ast.For, ast.While, ast.Break, ast.Continue, ast.Pass, ast.IfExp, ast.BoolOp, ast.Compare),
    *(ast.BinOp, ast.UnaryOp, ast.Call, ast.keyword, ast.Attribute, ast.Subscript, ast.Name, ast.Constant, ast.Tuple),
    *(ast.boolop, ast.operator, ast.unaryop, ast.cmpop, ast.expr_context),
)
REFUSED: Final[dict[type[ast.AST], str]] = {
    ast.List: "a hook makes no list: keep numbers in State, or write a tuple",
    ast.Dict: "a hook makes no dict: keep numbers in State",
    ast.Set: "a hook makes no set: compare with == and or",
    ast.ListComp: "a hook has no comprehension: write a loop over range(...)",
    ast.SetComp: "a hook has no comprehension: write a loop over range(...)",
    ast.DictComp: "a hook has no comprehension: write a loop over range(...)",
    ast.GeneratorExp: "a hook has no comprehension: write a loop over range(...)",
    ast.JoinedStr: "a hook makes no text: put the number into the reading, explain words it",
    ast.Lambda: "a hook has no lambda: write a function of the file",
    ast.Try: "a hook catches nothing: check before you divide or index",
    ast.Raise: "a hook raises nothing: return 0",
    ast.Assert: "a hook asserts nothing: return 0",
    ast.With: "a hook opens nothing: remove it",
    ast.Import: "import at the top of the file",
    ast.ImportFrom: "import at the top of the file",
    ast.ClassDef: "define the class at the top of the file",
    ast.NamedExpr: "assign on a line of its own",
    ast.Starred: "name each value",
    ast.Slice: "a ring has no slices: read it row by row in a loop over range(...)",
    ast.Delete: "a hook deletes nothing: remove it",
    ast.Match: "write if and elif: compiled code knows no match",
    ast.TryStar: "a hook catches nothing: check before you divide or index",
}
OPERATORS: Final[dict[type[ast.AST], str]] = {
    ast.Pow: "** differs in the last bit when compiled: multiply, or use sqrt",
    ast.MatMult: "@ multiplies matrices: hooks work on numbers",
    ast.In: "compare with == and or: compiled code knows no `in`",
    ast.NotIn: "compare with != and and: compiled code knows no `not in`",
    ast.Is: "compare with ==: numbers have no identity",
    ast.IsNot: "compare with !=: numbers have no identity",
}


def syntax_breaches(function: ast.FunctionDef, place: str) -> Iterator[Breach]:
    """Yield the nodes of a compiled function that do not run alike in both engines."""
    for statement in function.body:
        if not _is_text(statement):
            yield from _node_breaches(statement, place)


def _is_text(node: ast.AST) -> bool:
    """Return whether a node is a docstring or a print, whose texts are not values of the hook."""
    if not isinstance(node, ast.Expr):
        return False
    value = node.value
    is_print = isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "print"
    return is_print or isinstance(value, ast.Constant)


def _node_breaches(node: ast.AST, place: str) -> Iterator[Breach]:
    """Yield the breaches of a node and, where it is allowed, of those inside."""
    if isinstance(node, ast.FunctionDef):
        yield Breach(node.lineno, place, f"define {node.name} at the top of the file")
        return
    if type(node) in REFUSED:
        yield Breach(node.lineno, place, REFUSED[type(node)])  # type: ignore[attr-defined]
        return
    if not isinstance(node, ALLOWED):
        text = f"{type(node).__name__} does not compile: use numbers, if, and loops over range(...)"
        yield Breach(getattr(node, "lineno", 0), place, text)
        return
    yield from _own_breaches(node, place)
    for child in ast.iter_child_nodes(node):
        if not _is_text(child) and not _is_annotation(node, child):
            yield from _node_breaches(child, place)


def _is_annotation(node: ast.AST, child: ast.AST) -> bool:
    return isinstance(node, ast.AnnAssign) and child is node.annotation


def _own_breaches(node: ast.AST, place: str) -> Iterator[Breach]:
    """Yield what is wrong with an allowed node itself."""
    match node:
        case ast.BinOp() | ast.AugAssign() if type(node.op) in OPERATORS:
            yield Breach(node.lineno, place, OPERATORS[type(node.op)])
        case ast.Compare():
            for operator in node.ops:
                if type(operator) in OPERATORS:
                    yield Breach(node.lineno, place, OPERATORS[type(operator)])
        case ast.Constant() if isinstance(node.value, str | bytes):
            text = "a hook has no text: put a number into the reading, explain words it"
            yield Breach(node.lineno, place, text)
        case ast.Constant() if isinstance(node.value, complex):
            yield Breach(node.lineno, place, "a hook works on int and float only")
        case ast.For() if not _is_range(node.iter):
            yield Breach(node.lineno, place, "loop over range(...): compiled code iterates over nothing else")
        case ast.For() | ast.While() if node.orelse:
            yield Breach(node.lineno, place, "a loop has no else: set a flag")
        case _:
            pass


def _is_range(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"
