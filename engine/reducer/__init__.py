"""The pure reducer: it turns inputs into decisions, and keeps the state that both leave behind."""
