"""The notebook in the docs runs from its first cell to its last, and ends in a verdict."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support import REPOSITORY

pytestmark = pytest.mark.system

NOTEBOOK = REPOSITORY / "docs" / "notebook.ipynb"
TIMEOUT_S = 240


def test_the_notebook_of_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "shared"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "clear the outputs before a commit"
    NotebookClient(notebook, timeout=TIMEOUT_S, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    texts = [output["data"]["text/plain"] for output in outputs if "data" in output]
    assert any(text.startswith("CANNOT SAY: there is too little data") for text in texts), outputs
    assert any("momentum: " in text for text in texts), outputs
    assert (tmp_path / "shared" / "papertape" / "studies" / "first.db").is_file()
