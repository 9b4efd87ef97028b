"""An event-sourced paper-trading engine for crypto perpetual futures.

Its rooms are links to the top-level folders of the repository: one name is installed and imported (`papertape.engine`,
`papertape.events`, ...), and no other package's `engine` or `events` can take its place.
"""
