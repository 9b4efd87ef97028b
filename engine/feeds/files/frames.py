"""Convert Parquet and feather to CSV text, with polars if it is installed."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from papertape.engine.feeds.files.containers import ARROW, PARQUET, broken_file_error

if TYPE_CHECKING:
    import polars as pl


def convert_columnar(source: str, data: bytes) -> tuple[bytes, str] | None:
    """Return a columnar file as CSV with its header, and the format's name; None for any other file.

    Raise `MarketDataError` for a columnar file that is damaged, or if polars is not installed.
    """
    if not data.startswith((PARQUET, ARROW)):
        return None
    name = "Parquet" if data.startswith(PARQUET) else "feather"
    try:
        import polars as pl  # noqa: PLC0415 - an extra: this module must be importable without it.
    except ImportError:
        raise broken_file_error(
            source, f"this is a {name} file, which needs polars: pip install 'papertape[research]', or give CSV"
        ) from None
    try:
        frame = pl.read_parquet(BytesIO(data)) if name == "Parquet" else pl.read_ipc(BytesIO(data))
        return _as_csv(frame), name
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise broken_file_error(source, f"the {name} file is damaged: {reason}") from error


def _as_csv(frame: pl.DataFrame) -> bytes:
    """Write times as UTC milliseconds and numbers in their shortest exact form; omit nested columns."""
    from polars import Date, Datetime, col  # noqa: PLC0415

    shown = [
        col(name).dt.epoch("ms") if isinstance(kind, Datetime) or kind == Date else col(name)
        for name, kind in frame.schema.items()
        if not kind.is_nested()
    ]
    return frame.select(shown).write_csv().encode()
