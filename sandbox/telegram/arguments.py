"""Arguments as the Bot API reads them: numbers may be texts, objects may be JSON in a text."""

from __future__ import annotations

import json
from typing import Any, Final

from papertape.sandbox.telegram.wire import Upload

TRUE: Final = frozenset({"true", "1", "yes"})


class BotApiError(Exception):
    """A refusal of the server: the status, the description, and parameters."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters


def bad_request(description: str) -> BotApiError:
    """Return a 400 error."""
    return BotApiError(400, f"Bad Request: {description}")


class Arguments:
    """The arguments and files of a request."""

    def __init__(self, values: dict[str, Any], files: dict[str, Upload]) -> None:
        self.values = values
        self.files = files

    def text(self, name: str) -> str:
        """Return a text; empty if it is absent."""
        value = self.values.get(name, "")
        return value if isinstance(value, str) else json.dumps(value)

    def number(self, name: str, default: int | None = None) -> int | None:
        """Return a whole number."""
        value = self.values.get(name, default)
        try:
            return None if value is None or value == "" else int(value)
        except (TypeError, ValueError):
            raise bad_request(f"invalid {name} specified") from None

    def flag(self, name: str) -> bool:
        """Return a boolean."""
        return str(self.values.get(name, "")).lower() in TRUE

    def structure(self, name: str) -> Any:
        """Return an object or array, as itself or as JSON in a text; None if it is absent."""
        value = self.values.get(name)
        if not isinstance(value, str) or not value:
            return value if value != "" else None
        try:
            return json.loads(value)
        except ValueError:
            raise bad_request(f"can't parse {name} JSON object") from None


def keyboard_of(arguments: Arguments) -> list[list[dict[str, Any]]]:
    """Return the checked rows of an inline keyboard."""
    markup = arguments.structure("reply_markup")
    if markup is None:
        return []
    if not isinstance(markup, dict) or not isinstance(markup.get("inline_keyboard"), list):
        raise bad_request("object expected as reply markup")
    rows: list[list[dict[str, Any]]] = markup["inline_keyboard"]
    for row in rows:
        for button in row:
            _check_button(button)
    return [row for row in rows if row]


def _check_button(button: Any) -> None:
    if not isinstance(button, dict) or not str(button.get("text", "")):
        raise bad_request("can't parse inline keyboard button: Text must be non-empty")
    data = button.get("callback_data")
    if data is None and not button.get("url"):
        raise bad_request("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    if data is not None and not 1 <= len(str(data).encode()) <= 64:
        raise bad_request("BUTTON_DATA_INVALID")
