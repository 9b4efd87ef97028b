"""The files a fold depends on: never fewer than Python imports, and every line of them counts."""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from papertape.projections.alerts.derive import Alerts
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.persistence import code_version
from papertape.projections.persistence.code_version import FOLDER, ROOM, digest_of, files_of, imports_of, modules_of
from papertape.projections.site.views import Views
from papertape.projections.watchdog.anomalies import Anomalies
from papertape.projections.watchdog.liveness import Liveness
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

KEPT = (Alerts, Views, Liveness, Anomalies, Portfolio)


def parsed(path: Path) -> set[str]:
    """Return the imports that Python's own parser finds."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("module", files_of(FOLDER))
def test_no_import_is_overlooked(module: str) -> None:
    path = files_of(FOLDER)[module]
    found = imports_of(path)
    assert found is None or parsed(path) <= found


@pytest.mark.parametrize("kind", KEPT)
def test_every_module_loaded_for_a_fold_counts(kind: type) -> None:
    """A separate process loads no projections but those of this fold."""
    code = f"import sys, {kind.__module__}; print(*[one for one in sys.modules if one.startswith('{ROOM}')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= modules_of([kind])


def test_modules_that_only_send_or_show_do_not_count() -> None:
    away = (
        "papertape.projections.telegram.delivery",
        "papertape.projections.site.timeline",
        "papertape.projections.site.ports",
        "papertape.projections.watchdog.watchdog",
    )
    for kind in KEPT:
        assert modules_of([kind]).isdisjoint(away)
        assert len(modules_of([kind])) < len(files_of(FOLDER)) / 2


def test_a_foreign_fold_or_a_runtime_import_depends_on_everything(tmp_path: Path) -> None:
    assert modules_of([type("Foreign", (), {})]) == frozenset(files_of(FOLDER))
    for source in (
        "import importlib",
        "__import__('x')",
        "    from . import views",
        "from .views import Views",
        "eval('1')",
    ):
        path = tmp_path / f"{len(source)}.py"
        path.write_text(source)
        assert imports_of(path) is None, source


def test_an_import_counts_anywhere_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text(
        "def f():\n    from papertape.projections.a import (\n        b,\n        c as d,\n    )\n"
        "import papertape.projections.e as g\n"
    )
    found = imports_of(path)
    assert found is not None
    assert {f"papertape.projections{name}" for name in ("", ".a", ".a.b", ".a.c", ".e")} <= found


def test_any_changed_line_changes_the_digest(tmp_path: Path) -> None:
    room, facts = tmp_path / "projections", tmp_path / "events"
    for folder in (room / "deep", facts):
        folder.mkdir(parents=True)
    for package in (room, room / "deep"):
        (package / "__init__.py").touch()
    (room / "one.py").write_text("from papertape.projections.deep import two\nfrom papertape.events.fact import Fact\n")
    (room / "deep" / "two.py").write_text("a = 1")
    (room / "three.py").write_text("a = 1")
    (facts / "fact.py").write_text("from papertape.events.units import DAY")
    (facts / "units.py").write_text("DAY = 1")
    (facts / "codec.py").write_text("a = 1")
    (facts / "copying.py").write_text("a = 1")

    def digest() -> bytes:
        code_version.files_of.cache_clear()
        code_version.imports_of.cache_clear()
        one = type("One", (), {"__module__": "papertape.projections.one"})
        return digest_of(modules_of([one], room), room, facts)

    seen = [digest()]
    (room / "three.py").write_text("a = 2")
    (facts / "copying.py").write_text("a = 2")
    assert digest() == seen[0], "no fold imports them"
    for path in (room / "one.py", room / "deep" / "two.py", facts / "fact.py", facts / "units.py", facts / "codec.py"):
        path.write_text(path.read_text() + "\n")
        seen.append(digest())
    code_version.files_of.cache_clear()
    code_version.imports_of.cache_clear()
    assert len(set(seen)) == len(seen)
