"""The process's surroundings: variables, standard streams and asyncio tasks."""
