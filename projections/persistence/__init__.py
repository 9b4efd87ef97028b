"""Keep folded state on disk and share it between views."""
