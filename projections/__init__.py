"""Views: pure folds from recorded events to frozen Structs, and the host that runs them."""
