"""Deterministic simulation: the running program, whole, in a world that is made by a seed.

**Real**: the engine with its loop, reducer, SQLite log, snapshots and recovery; the feed session with its streams,
history and clocks; delivery, chat, watchdog and heartbeat; the supervisor and its restart policy.

**Simulated**: time, threads, network, disk faults, the exchange, the chat and its owner, kills. The seams are a handful
of names (`seams`); everything else runs as it does for a user.

**A schedule** is one seed: 10 to 30 minutes of market with faults that overlap and heal in an order by chance
(`faults`), then calm until everything is well again, a stop, and the checks (`checks`). Two runs of a seed take the
same steps and write the same log, byte for byte. `python -m tests.simulation SEED` replays one with a trace. `broken`
are promises broken on purpose: each has to be noticed.

Not simulated: a power cut that loses unsynced writes, a disk that lies, and the page.
"""
