"""What the hooks of a strategy read, found in their source: which sets share a state, and which an entry.

The reader follows attributes of `view`, `params` and `answer` through local names and through functions of the
strategy's own file. Whatever it cannot follow counts as read as a whole.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from papertape.engine.kernel.strategy import DO_NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from papertape.engine.kernel.strategy import Strategy

ReadPath = tuple[str, ...]
VIEW, PARAMS, ANSWER = "view", "params", "answer"
WHOLE = ""
"""Stands for all fields of a state."""
KERNEL = "papertape.engine.kernel."
ANSWERS = "papertape.engine.kernel.answers"
INDICATORS = "papertape.engine.kernel.indicators"
DEPTH_MAX = 12
PURE = (abs, max, min)


class Reads(Struct, frozen=True):
    """What decides the answer of a hook: paths such as `("view", "position", "side")`; a short one is all below it."""

    paths: frozenset[ReadPath]
    writes: frozenset[ReadPath] = frozenset()

    def params(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the parameters among `names` that are read."""
        whole = (PARAMS,) in self.paths
        return tuple(name for name in names if whole or any(path[:2] == (PARAMS, name) for path in self.paths))

    def reads(self, *path: str) -> bool:
        """Return whether something at or below a path is read, or anything that it is part of."""
        return any(one[: len(path)] == path[: len(one)] for one in self.paths)

    def only(self, path: ReadPath, *allowed: ReadPath) -> bool:
        """Return whether all that is read at or below a path is one of those allowed."""
        return all(one in allowed for one in self.paths if one[: len(path)] == path[: len(one)])


def reads_of(hook: Callable[..., Any] | None, never_zero: frozenset[ReadPath] = frozenset()) -> Reads:
    """Return what decides the answer of a hook, and what it writes; `never_zero` are parameters that cannot be 0."""
    if hook is None or hook in DO_NOTHING:
        return Reads(frozenset())
    function = source_of(hook)
    if function is None:
        return Reads(frozenset({(VIEW,), (PARAMS,), (ANSWER,)}), frozenset({(VIEW,)}))
    return reads_in(hook, function, never_zero)


def reads_in(
    hook: Callable[..., Any], function: ast.FunctionDef, never_zero: frozenset[ReadPath] = frozenset()
) -> Reads:
    """Return what decides the answer of a function with the arguments of a hook, in the place of the hook."""
    names = [argument.arg for argument in function.args.args]
    roles = dict(zip(names, (VIEW, PARAMS, ANSWER), strict=False))
    reader = _Reader(hook, function, {name: frozenset({(role,)}) for name, role in roles.items()}, never_zero)
    return reader.result()


def observing_reads(strategy: Strategy) -> Reads:
    """Return what the observing hooks of a strategy read."""
    hooks = strategy.hooks
    found = [reads_of(hook) for hook in (hooks.observe, hooks.on_funding, hooks.on_open_interest, hooks.on_gap)]
    return Reads(frozenset().union(*(one.paths for one in found)), frozenset())


def state_params(strategy: Strategy, reads: Reads) -> tuple[str, ...]:
    """Return the parameters that decide what a hook that reads `reads` sees of the strategy's state.

    A statement of `observe` that updates one field, as `update_rsi(state.rsi, view.m5, params.period)` does, stands for
    that field alone. Where there is anything else, all fields depend on all that the observing hooks read.
    """
    hooks, names = strategy.hooks, strategy.parameters.__struct_fields__
    function, wanted = source_of(hooks.observe), _state_fields(reads.paths)
    body = [] if function is None else function.body
    assigned = [one for one in body if isinstance(one, ast.Assign)]
    calls = [one for one in body if isinstance(one, ast.Expr)]
    others = {hooks.on_funding, hooks.on_open_interest, hooks.on_gap} - DO_NOTHING
    if function is None or others or len(assigned) + len(calls) < len(body) or WHOLE in wanted:
        return observing_reads(strategy).params(names)
    parts = [ast.FunctionDef(function.name, function.args, [*assigned, one], []) for one in calls]
    updates = [reads_in(hooks.observe, one) for one in parts]
    for _ in updates:  # A field may depend on another one, and that on the next.
        for one in updates:
            if wanted & (fields := _state_fields(one.paths | one.writes)):
                wanted |= fields
    if WHOLE in wanted:
        return observing_reads(strategy).params(names)
    own = [one.paths for one in updates if wanted & _state_fields(one.paths | one.writes)]
    return Reads(frozenset().union(*own)).params(names)


def _state_fields(paths: Iterable[ReadPath]) -> set[str]:
    """Return the fields of the strategy's state among paths, `WHOLE` for all of them."""
    return {path[2] if len(path) > 2 else WHOLE for path in paths if path[:2] == (VIEW, "state")[: len(path)]}


def never_zero(strategy: Strategy) -> frozenset[ReadPath]:
    """Return the parameters whose range does not contain 0, each as the last part of a path."""
    found = set()
    for field in msgspec.structs.fields(strategy.parameters):
        info = msgspec.inspect.type_info(field.type)
        info = info.type if isinstance(info, msgspec.inspect.Metadata) else info
        least = getattr(info, "ge", None), getattr(info, "gt", None)
        if (least[0] or 0) > 0 or (least[1] is not None and least[1] >= 0):
            found.add((field.name,))
    return frozenset(found)


@cache
def source_of(function: Callable[..., Any]) -> ast.FunctionDef | None:
    """Return the syntax tree of a function, None if there is none."""
    try:
        [tree] = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    return tree if isinstance(tree, ast.FunctionDef) else None


class _Reader:
    """Reads one function, whose arguments stand for the given paths."""

    def __init__(
        self,
        function: Callable[..., Any],
        tree: ast.FunctionDef,
        names: Mapping[str, frozenset[ReadPath]],
        never_zero: frozenset[ReadPath],
        depth: int = 0,
    ) -> None:
        self.names, self.never_zero = dict(names), never_zero
        self.globals: dict[str, Any] = getattr(function, "__globals__", {})
        self.depth, self.whole = depth, False
        self.read: set[ReadPath] = set()
        self.written: set[ReadPath] = set()
        self.statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and node is not tree]
        for _ in range(3):  # An alias of an alias of an alias is known after three rounds.
            for statement in self.statements:
                self._note_aliases(statement)

    def result(self, *, whole: bool = False) -> Reads:
        """Return what decides the function's answer.

        What only fills in its `answer` decides nothing, unless it looks at that again; `whole` says that somebody does.
        """
        self.whole = whole
        dropped = set() if whole else self._dropped()
        for statement in self.statements:
            self._take(statement, decides=statement not in dropped)
        if not whole and any(path[0] == ANSWER for path in self.read):
            return self.result(whole=True)
        return Reads(frozenset(self.read), frozenset(self.written))

    # ------------------------------------------------------------ names

    def _note_aliases(self, statement: ast.stmt) -> None:
        """Remember what a local name stands for."""
        for name, value in _assignments(statement):
            paths = self._paths(value)
            if paths and not isinstance(statement, ast.AugAssign):
                self.names[name] = self.names.get(name, frozenset()) | paths

    def _paths(self, node: ast.expr) -> frozenset[ReadPath]:
        """Return the paths that an expression may stand for, none for a number."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id, frozenset())
        if isinstance(node, ast.Attribute):
            return frozenset((*path, node.attr) for path in self._paths(node.value))
        if isinstance(node, ast.IfExp):
            return self._paths(node.body) | self._paths(node.orelse)
        return frozenset()

    # ------------------------------------------------------------ what decides nothing

    def _dropped(self) -> set[ast.stmt]:
        """Return the statements that only fill in the answer, or local names that only do that."""
        candidates = {one for one in self.statements if self._fills_answer(one) or list(_assignments(one))}
        candidates = {one for one in candidates if not self._may_fail(one)}
        needed: set[str] = set()
        while True:
            for statement in self.statements:
                if statement not in candidates:
                    needed |= _names(_own_expressions(statement))
            kept = {one for one in candidates if any(name in needed for name, _ in _assignments(one))}
            if not kept:
                return candidates
            candidates -= kept

    def _fills_answer(self, statement: ast.stmt) -> bool:
        """Return whether a statement sets fields of the answer, or calls a function that only can do that."""
        if isinstance(statement, ast.Assign):
            targets = [part for target in statement.targets for part in _parts(target)]
            return all(isinstance(target, ast.Attribute) and self._is_answer(target.value) for target in targets)
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            called = self._called(statement.value)
            if getattr(called, "__module__", "") == ANSWERS:
                return True
            return self._is_own(called) and any(self._is_answer(argument) for argument in statement.value.args)
        return False

    def _is_answer(self, node: ast.expr) -> bool:
        paths = self._paths(node)
        return bool(paths) and all(path[0] == ANSWER for path in paths)

    def _may_fail(self, statement: ast.stmt) -> bool:
        """Return whether an expression might fail for one set and not for another: by a division or by `int`."""
        for node in (inner for one in _own_expressions(statement) for inner in ast.walk(one)):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.FloorDiv | ast.Mod):
                if self._may_vanish(node.right):
                    return True
            elif isinstance(node, ast.Call) and (called := self._called(node)) is int:
                if any(map(self._depends, node.args)):
                    return True
            elif isinstance(node, ast.Call) and self._is_own(called):
                inner = self._reader_of(called, node)
                if inner is None or any(map(inner._may_fail, inner.statements)):  # noqa: SLF001 - its own kind
                    return True
        return False

    def _may_vanish(self, node: ast.expr) -> bool:
        """Return whether a divisor might be 0 for one set and not for another."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
            return self._may_vanish(node.left) or self._may_vanish(node.right)
        if paths := self._paths(node):
            return any(path[0] == PARAMS and path[1:2] not in self.never_zero for path in paths)
        return self._depends(node)

    def _depends(self, node: ast.expr, known: frozenset[str] = frozenset()) -> bool:
        """Return whether a number may depend on a parameter; `known` are the names that are being looked into."""
        if paths := self._paths(node):
            return any(path[0] == PARAMS for path in paths)
        if isinstance(node, ast.Name):
            values = [value for one in self.statements for name, value in _assignments(one) if name == node.id]
            inside = known | {node.id}
            return not values or any(self._depends(value, inside) for value in values if node.id not in known)
        if isinstance(node, ast.Call):
            return self._called(node) not in PURE or any(self._depends(argument, known) for argument in node.args)
        return any(self._depends(child, known) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))

    # ------------------------------------------------------------ what is read and written

    def _take(self, statement: ast.stmt, *, decides: bool) -> None:
        """Note what a statement itself reads and writes, without the statements inside it."""
        if isinstance(statement, ast.Assign | ast.AugAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for target in (part for one in targets for part in _parts(one)):
                if not isinstance(target, ast.Name):
                    self.written |= self._paths(target) or {(VIEW,)}
        if not decides:
            return
        named = [] if isinstance(statement, ast.AugAssign) else _assignments(statement)
        aliases = {id(value) for _, value in named if self._paths(value)}
        for expression in _own_expressions(statement):
            self._read(expression, aliases)

    def _read(self, node: ast.AST, aliases: set[int]) -> None:
        """Note the paths that an expression reads."""
        if id(node) in aliases:
            if isinstance(node, ast.IfExp):
                aliases |= {id(node.body), id(node.orelse)}
                self._read(node.test, aliases)
                self._read(node.body, aliases)
                self._read(node.orelse, aliases)
            return
        if isinstance(node, ast.Attribute | ast.Name):
            if isinstance(node.ctx, ast.Load) and (paths := self._paths(node)):
                self.read |= paths
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                self._read(node.value, aliases)
            return
        if isinstance(node, ast.Call):
            self._read_call(node, aliases)
            return
        for child in ast.iter_child_nodes(node):
            self._read(child, aliases)

    def _read_call(self, node: ast.Call, aliases: set[int]) -> None:
        """Note what a call reads: of a function of the file what it reads itself, of others all that they are given."""
        called = self._called(node)
        if self._is_own(called) and (inner := self._reader_of(called, node)) is not None:
            found = inner.result(whole=self.whole)
            self.read |= found.paths
            self.written |= found.writes
            for argument in node.args:
                if not self._paths(argument):
                    self._read(argument, aliases)
            return
        module = str(getattr(called, "__module__", ""))
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            if module == ANSWERS and self._is_answer(argument):
                continue
            self._read(argument, aliases)
            if module.startswith(INDICATORS) and getattr(called, "__name__", "").startswith("update_"):
                self.written |= self._paths(argument)
        if called is None:
            self.written |= {path for argument in node.args for path in self._paths(argument)}

    def _called(self, node: ast.Call) -> Any:
        """Return the function that a call calls, None if it is not known by a name of the module."""
        builtin = self.globals.get("__builtins__", {})
        known = builtin if isinstance(builtin, dict) else vars(builtin)
        return self.globals.get(node.func.id, known.get(node.func.id)) if isinstance(node.func, ast.Name) else None

    def _is_own(self, called: Any) -> bool:
        """Return whether a function is one of the strategy's own file."""
        return inspect.isfunction(called) and called.__globals__ is self.globals

    def _reader_of(self, called: Any, node: ast.Call) -> _Reader | None:
        """Return the reader of a called function, None if its arguments cannot be told apart."""
        tree = source_of(called)
        if tree is None or node.keywords or self.depth >= DEPTH_MAX:
            return None
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            return None
        given = zip((argument.arg for argument in tree.args.args), map(self._paths, node.args), strict=False)
        names = {name: paths for name, paths in given if paths}
        return _Reader(called, tree, names, self.never_zero, self.depth + 1)


def _parts(target: ast.expr) -> list[ast.expr]:
    """Return the single targets of an assignment."""
    if isinstance(target, ast.Tuple | ast.List):
        return [part for one in target.elts for part in _parts(one)]
    return [target]


def _assignments(statement: ast.stmt) -> list[tuple[str, ast.expr]]:
    """Return the local names that a statement sets, each with the expression that it is set to."""
    if isinstance(statement, ast.AugAssign | ast.AnnAssign):
        own, given = statement.target, statement.value
        return [(own.id, given)] if isinstance(own, ast.Name) and given is not None else []
    if not isinstance(statement, ast.Assign):
        return []
    found: list[tuple[str, ast.expr]] = []
    for target in statement.targets:
        names, value = _parts(target), statement.value
        values = value.elts if isinstance(value, ast.Tuple) and len(value.elts) == len(names) else [value] * len(names)
        if not all(isinstance(name, ast.Name) for name in names):
            return []
        found += [(name.id, one) for name, one in zip(names, values, strict=True) if isinstance(name, ast.Name)]
    return found


def _own_expressions(statement: ast.stmt) -> list[ast.expr]:
    """Return the expressions of a statement itself, without those of the statements inside it."""
    found: list[ast.expr] = []
    for _, value in ast.iter_fields(statement):
        parts = value if isinstance(value, list) else [value]
        found += [part for part in parts if isinstance(part, ast.expr)]
    return found


def _names(expressions: Iterable[ast.expr]) -> set[str]:
    """Return the local names that expressions read."""
    return {
        node.id
        for one in expressions
        for node in ast.walk(one)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
