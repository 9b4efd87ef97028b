"""The pure reducer: facts in, decisions out, and the state both leave behind."""
