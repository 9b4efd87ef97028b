"""Replay one schedule with a readable trace: `python -m tests.simulation SEED`."""
from __future__ import annotations
import sys, time
from tests.simulation.schedule import run_schedule

if __name__ == "__main__":
    t=time.process_time()
    out = run_schedule(int(sys.argv[1]))
    for at, text in out.lines:
        print(f"{at:9.3f}  {text}")
    print(out.wrong, out.log_digest, out.events, round(out.virtual_s), out.starts, out.kills, out.steps, time.process_time()-t)
