"""Call a strategy's hooks so that no error of theirs reaches the engine.

The first error is kept for the reducer, which records it; from then on the hooks answer nothing and are not called. In
CPython a guarded call costs one more function call. The compiled loops have no guard.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from papertape.engine.kernel.answers import Answer, clear_answer
from papertape.engine.kernel.strategy import DO_NOTHING, Hooks, Strategy
from papertape.events.names import close_matches
from papertape.events.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

ERROR_CHARS_MAX: Final = 300
_encode = msgspec.msgpack.Encoder().encode
_decode_answer = msgspec.msgpack.Decoder(Answer).decode
NOTHING: Final = 0
"""What a hook that failed answers: no entry, no exit, no change."""
PLAIN: Final = (int, float, bool)
ABSENT: Final = object()
"""In place of an argument that a hook does not take."""


class HookOverrun(BaseException):
    """A hook took too long. Not an `Exception`, so that a hook's own `except Exception` does not swallow it."""


class HookFailure(Struct, frozen=True):
    """An error of a hook: the hook's name, the file and line, and the error in one line."""

    hook: str
    place: str
    error: str


class HookGuard:
    """The guard of one runner's hooks. `failure` is the first error; a `muted` guard calls no hook.

    `on_failure` is called at once when a hook fails, while the fact that it was shown is known.
    """

    def __init__(self, strategy: Strategy) -> None:
        self.muted = False
        self.failure: HookFailure | None = None
        self.on_failure: Callable[[], None] = lambda: None
        self._file = strategy.file

    def guarded(self, hooks: Hooks) -> Hooks:
        """Return the hooks behind this guard; those that do nothing need none."""
        own = {name: getattr(hooks, name) for name in Hooks.__struct_fields__}
        guarded = {
            name: hook if hook is None or hook in DO_NOTHING else self.guarded_hook(name, hook)
            for name, hook in own.items()
        }
        return Hooks(**guarded)

    def guarded_hook(self, name: str, hook: Callable[..., Any]) -> Callable[..., Any]:
        """Return a hook behind this guard."""
        answers, changes = name in ANSWERING, name == "manage"

        def call_hook(first: Any, second: Any = ABSENT, written: Any = ABSENT) -> Any:
            if self.muted:
                return NOTHING
            try:
                if written is not ABSENT:
                    answer = hook(first, second, written)
                else:
                    answer = hook(first) if second is ABSENT else hook(first, second)
                if answer and answers:
                    check_answer(answer, written)
                elif changes:
                    check_change(written)
            except (Exception, HookOverrun, SystemExit, GeneratorExit) as error:  # noqa: BLE001 - whatever an owner's hook raises parks it.
                self.muted = True
                line = getattr(getattr(hook, "__code__", None), "co_firstlineno", 0)
                self.failure = HookFailure(name, place_of(error, self._file, line), error_text(error))
                self.on_failure()
                if changes:
                    clear_answer(written)
                return NOTHING
            return answer

        GUARD_CODE.add(call_hook.__code__)
        return call_hook


ANSWERING: Final = frozenset({"enter", "leave"})
GUARD_CODE: Final[set[CodeType]] = set()
"""The code by which a stack shows that a hook runs."""


def check_change(written: Answer) -> None:
    """Raise TypeError if `manage` wrote anything but plain numbers into its answer."""
    try:
        _decode_answer(_encode(written))
    except (TypeError, msgspec.MsgspecError):
        check_answer(0, written)
        raise


def check_answer(answer: Any, written: Any) -> None:
    """Raise TypeError if a hook answered, or wrote into its answer, anything but plain numbers."""
    if type(answer) not in PLAIN:
        raise TypeError(f"it returned {answer!r} instead of a number")
    for name in written.__struct_fields__:
        value = getattr(written, name)
        if type(value) in PLAIN or value is None:
            continue
        if isinstance(value, Struct):
            check_answer(answer, value)
        elif not isinstance(value, list | tuple):
            raise TypeError(f"{name} = {value!r} must be a number")


def place_of(error: BaseException, file: str, line: int = 0) -> str:
    """Return `file.py:12`, the last line of the file that led to an error; `line` if none of its lines did."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno or line}"
    own = [number for frame, number in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == file]
    return f"{Path(file).name}:{(own or [line])[-1]}"


def error_text(error: BaseException) -> str:
    """Return an error in one line, with the nearest name if a name was not found."""
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    text = f"{type(error).__name__}: {said}" if said else type(error).__name__
    near = nearest_name(error)
    return one_line(f"{text}; did you mean {near!r}?" if near else text, ERROR_CHARS_MAX)


def nearest_name(error: BaseException) -> str:
    """Return the known name that resembles the one that an error misses, empty if none does."""
    names: list[str] = []
    if isinstance(error, AttributeError) and error.name:
        names = [name for name in dir(error.obj) if not name.startswith("_")]
    elif isinstance(error, NameError) and error.name and error.__traceback__ is not None:
        frame = list(traceback.walk_tb(error.__traceback__))[-1][0]
        names = [*frame.f_locals, *frame.f_globals, *frame.f_builtins]
    else:
        return ""
    return next(iter(close_matches(error.name, names)), "")
