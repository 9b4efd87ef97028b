"""What compiled code may raise where a strategy's hook fails; CPython then runs the tape again and names the place."""

from __future__ import annotations

from typing import Final

HOOK_ERRORS: Final = (ArithmeticError, AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError)
"""Everything but what ends the process."""
