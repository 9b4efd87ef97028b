"""Tests of the projections: given facts, then views."""
