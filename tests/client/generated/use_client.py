"""Use the generated Python client; print what it was told as JSON."""

import json
import sys

from papertape_client import AuthenticatedClient
from papertape_client.api.commands import pause
from papertape_client.api.views import get_arena, get_runner
from papertape_client.models import ArenaRowListAnswer, CommandAccepted, PauseRequest, Problem

url, token = sys.argv[1:]
client = AuthenticatedClient(url, token)
arena = get_arena.sync(client=client)
assert isinstance(arena, ArenaRowListAnswer)
unknown = get_runner.sync("nobody", client=client)
assert isinstance(unknown, Problem)
paused = pause.sync(client=client, body=PauseRequest(actor="anna", reason="news"))
assert isinstance(paused, CommandAccepted)
told = {"strategies": [row.strategy for row in arena.data], "problem": unknown.type_, "first_seq": paused.first_seq}
print(json.dumps(told))
