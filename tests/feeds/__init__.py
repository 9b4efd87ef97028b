"""Tests of the feeds: files, the simulated market, and the clock that paces them."""
