"""Args and return values: JSON that every database can store, and gives back the same."""

import json
import re
from typing import Any

from django_schwartz.backend.compat import normalize_json

#: NUL as JSON spells it, and not the text of a backslash and "u0000".
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def json_text(value: object) -> str:
    """The value as JSON. Raises TypeError or ValueError for what JSON or a database cannot hold."""
    try:
        text = json.dumps(normalize_json(value), allow_nan=False, ensure_ascii=False)
        text.encode()
    except RecursionError as error:
        raise ValueError("It is nested too deeply.") from error
    except UnicodeEncodeError as error:
        raise ValueError(
            f"It holds half a surrogate pair: {error.object[error.start]!a}."
        ) from error
    if NUL.search(text):
        raise ValueError(r"It holds NUL (\x00), which not every database can store.")
    return text


def json_value(value: object) -> Any:
    """The value as a reader of its JSON will have it: tuples are lists, keys are text."""
    return json.loads(json_text(value))
