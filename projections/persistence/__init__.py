"""Fold state: kept on disk, and copied for views of the past."""
