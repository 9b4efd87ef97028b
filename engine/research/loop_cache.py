"""numba's disk cache for compiled loops: choose its folder, and recover from a broken cache file."""

from __future__ import annotations

import errno
import logging
import os
import pickle
import stat
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from numba.core.caching import CompileResultCacheImpl, FunctionCache, UserWideCacheLocator

if TYPE_CHECKING:
    from collections.abc import Callable

UNREADABLE: Final = (
    *(OSError, EOFError, pickle.PickleError, ValueError, LookupError),
    *(AttributeError, ImportError, TypeError, RuntimeError),
)
"""What pickle and numba raise for a file that is truncated, modified, or written by another program."""
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def private_folder() -> Path:
    """Return this user's private folder among the temporary files, and create it if it is missing.

    Its content runs as machine code, so only this user may write to it. Raise OSError if there is no space for
    temporary files, or if the folder belongs to another user or is open to others.
    """
    path = Path(tempfile.gettempdir()) / f"papertape-{os.getuid()}-numba"
    with suppress(FileExistsError):
        path.mkdir(mode=stat.S_IRWXU)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & OTHERS:
        raise PermissionError(errno.EACCES, "others could write there", str(path))
    return path


class PrivateLocator(UserWideCacheLocator):  # type: ignore[misc]
    """The cache in the private folder, for a read-only installation and a user without a home directory."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        super().__init__(function, file)
        self._cache_path = str(private_folder() / self.get_suitable_cache_subpath(file))

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> Any:
        """Return the locator of a function, or None if the private folder is unavailable."""
        try:
            return super().from_function(function, file)
        except OSError:
            return None


class LoopCacheImpl(CompileResultCacheImpl):  # type: ignore[misc]
    """numba's own cache locations, then the private folder."""

    _locator_classes = (*CompileResultCacheImpl._locator_classes, PrivateLocator)  # noqa: SLF001 - numba's way to add


class LoopCache(FunctionCache):  # type: ignore[misc]
    """numba's disk cache for loops. A cache that cannot be read or written only costs a compilation."""

    _impl_class = LoopCacheImpl

    def __init__(self, function: Callable[..., Any], digest: str) -> None:
        super().__init__(function)
        self._digest = digest

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        """Return the key of machine code: types, processor, the loop itself, and the sources of all that it calls.

        numba's own key would pickle what a loop calls, which differs from process to process and fails for the
        parameters of a strategy whose file is not a module.
        """
        cells = (cell.cell_contents for cell in self._py_func.__closure__ or ())
        settings = tuple(one for one in cells if isinstance(one, int | float | str))
        return (sig, codegen.magic_tuple(), self._py_func.__code__.co_code, settings, self._digest)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load machine code without registering numba's own functions, which takes 0.3 s and only compiling needs."""
        try:
            return self._load_overload(sig, target_context)
        except UNREADABLE:
            with suppress(OSError):
                self.flush()
            return None

    def holds(self, signature: Any, codegen: Any) -> bool:
        """Return whether machine code for these types is stored."""
        return self._index_key(signature, codegen) in self._cache_file._load_index()  # noqa: SLF001 - likewise

    def holds_any(self) -> bool:
        """Return whether machine code from the same sources is stored, for whatever types."""
        return any(key[-1] == self._digest for key in self._cache_file._load_index())  # noqa: SLF001 - likewise

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store machine code for the next process, if there is space."""
        try:
            self._save_overload(sig, data)
        except OSError as error:
            _warn_once(error.strerror or str(error))


def is_stored(loop: Any, arguments: tuple[Any, ...]) -> bool:
    """Return whether a loop is compiled for the types of these arguments, in memory or on disk."""
    return bool(loop.overloads) or is_compiled_for(loop, tuple(map(loop.typeof_pyval, arguments)))


def is_compiled_for(loop: Any, signature: tuple[Any, ...]) -> bool:
    """Return whether a loop is compiled for these types, in memory or on disk."""
    if loop.overloads:
        return True
    cache = loop._cache  # noqa: SLF001 - numba has no question, only the answer
    if not isinstance(cache, LoopCache):
        return False
    try:
        return cache.holds(signature, loop.targetctx.codegen())
    except UNREADABLE:
        return False


def is_compiled(loop: Any) -> bool:
    """Return whether a loop is compiled for some types, in memory or on disk."""
    try:
        return bool(loop.overloads) or (isinstance(loop._cache, LoopCache) and loop._cache.holds_any())  # noqa: SLF001
    except UNREADABLE:
        return False


def loop_cache(function: Callable[..., Any], digest: str) -> LoopCache | None:
    """Return the disk cache of a loop that is made from sources with a digest, or None if no folder is writable."""
    try:
        return LoopCache(function, digest)
    except RuntimeError:  # numba found no place, and neither did we.
        _warn_once("no folder takes it")
        return None


@cache
def _warn_once(why: str) -> None:
    text = "compiled strategies are not kept for the next start: %s; NUMBA_CACHE_DIR names a folder for them"
    logging.getLogger("papertape.research").warning(text, why)
