"""Draw one power cut of a saved recording again and check it: `python -m tests.power SCENARIO RECORDING SEED`.

The state as it was drawn is left beside the recording, in the folder `again`.
"""

from __future__ import annotations

import pickle
import shutil
import sys
from pathlib import Path

from tests.power.crash import draw
from tests.power.prove import check_states
from tests.power.scenarios import SCENARIOS

if __name__ == "__main__":
    name, path, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    recording = pickle.loads(path.read_bytes())
    kept = path.parent / "again"
    shutil.rmtree(kept, ignore_errors=True)
    for state in draw(recording, [seed], kept):
        print(f"{state.folder}: a cut after {state.operations} operations, {state.fate}")
    check_states(recording, SCENARIOS[name], [seed], path.parent)
    print("every promise is kept")
