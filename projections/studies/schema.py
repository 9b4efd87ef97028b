"""The tables of a study's file: one study, written by one process, read by the page with SQLite alone."""

from __future__ import annotations

from typing import Final

FORMAT: Final = 2
"""The version of the tables, in `PRAGMA user_version`."""
RESUME_FORMAT: Final = 2
"""The first version of the tables with the column `resume`."""
RESUME_COLUMN: Final = "resume TEXT NOT NULL DEFAULT ''"
"""The command line that continues a study, empty if a notebook began it."""

RESULT_COLUMNS: Final = (
    "end_equity_usdt",
    "cash_usdt",
    "peak_usdt",
    "max_drawdown_fraction",
    "longest_drawdown_ms",
    "gross_usdt",
    "fees_usdt",
    "funding_usdt",
    "slippage_usdt",
    "trades",
    "wins",
    "tripped",
    "longest_holding_ms",
    "holding_ms",
    "decisions",
    "long_way",
)
"""The figures of a set over a span, in the order of `engine.research.set_result.SetResult`."""

_FIGURES: Final = ", ".join(
    f"{name} {'REAL' if name.endswith(('_usdt', '_fraction')) else 'INTEGER'}" for name in RESULT_COLUMNS
)

TABLES: Final = f"""
CREATE TABLE study (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    name TEXT NOT NULL,
    key TEXT NOT NULL,           -- the digest of the plan: the same key is the same study
    plan TEXT NOT NULL,          -- JSON: projections.studies.document.StudyPlan
    state TEXT NOT NULL,         -- running, interrupted, complete, failed
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    {RESUME_COLUMN}
);
CREATE TABLE span (id INTEGER PRIMARY KEY, start_ms INTEGER, end_ms INTEGER);
CREATE TABLE chunk (
    span INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,       -- the last set of the chunk
    machine TEXT NOT NULL,       -- versions and processor that computed it
    PRIMARY KEY (span, first)
) WITHOUT ROWID;
CREATE TABLE result (
    span INTEGER NOT NULL,
    number INTEGER NOT NULL,
    {_FIGURES},
    sharpe REAL,                 -- of the daily returns, annualised; NULL where it is not defined
    PRIMARY KEY (span, number)
) WITHOUT ROWID;
CREATE TABLE days (
    span INTEGER NOT NULL,
    number INTEGER NOT NULL,
    equities BLOB NOT NULL,      -- float64, little endian: the equity at the end of every calendar day
    PRIMARY KEY (span, number)
) WITHOUT ROWID;
CREATE TABLE failed (span INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, error TEXT NOT NULL);
CREATE TABLE document (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at_ms INTEGER NOT NULL,
    content TEXT NOT NULL        -- JSON: projections.studies.document.Document
);
"""
