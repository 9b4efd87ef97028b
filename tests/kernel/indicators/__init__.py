"""The library of indicators: against TA-Lib, against their formulas, compiled, and over a million candles."""
