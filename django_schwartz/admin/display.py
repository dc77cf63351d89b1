"""Rows as HTML. Whatever one holds is shown as text: escaped, bounded, no reason to fail."""

import json
from typing import Any

from django.db.models.functions import Length
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from django_schwartz.conf import conf
from django_schwartz.exceptions import ArgUnreadable
from django_schwartz.models import ExitStatus, Job, JobHandle
from django_schwartz.models.arg import stored_arg
from django_schwartz.serializers import storable_text

#: What stands for a value that is not there.
NOTHING = "-"
#: The colour of a word, which says the same to who sees none.
COLOURS = {
    "completed": "good",
    **dict.fromkeys(("failed", "lease expired", "gone"), "bad"),
    **dict.fromkeys(("grabbed", "working"), "busy"),
}


def handle_of(row: Any) -> str:
    return str(JobHandle(row._state.db, row.jobid))


def link_to(row: Any, *, site: str) -> str:
    """The address of the page of a row."""
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return reverse(name, args=[row.pk], current_app=site)


def preformatted(value: object) -> str:
    """Text as it stands, the middle of a long one cut out; a dash for None."""
    if value is None:
        return NOTHING
    return format_html('<pre class="schwartz-text">{}</pre>', storable_text(value))


def words(*names: str) -> SafeString:
    """Words such as a state, each with its colour."""
    spans = ((COLOURS.get(name, "plain"), name) for name in names)
    return format_html_join(" ", '<span class="schwartz-word schwartz-{}">{}</span>', spans)


def pretty_json(value: object) -> str:
    """A value that JSON holds, indented; a dash for None."""
    return preformatted(value if value is None else _indented(value))


def pretty_arg(row: Job | ExitStatus) -> str:
    """The arg as indented JSON, or as what it is where it is none; a dash where there is no arg."""
    size = _bytes_of_arg(row)
    if size is None:
        return NOTHING
    if size > conf().max_arg_bytes:
        return preformatted(f"{size:,} bytes, which are too many to show.")
    try:
        return pretty_json(row.arg)
    except (ArgUnreadable, RecursionError) as error:
        return preformatted(f"{error}\n\n{stored_arg(row)!r}")


def _bytes_of_arg(row: Job | ExitStatus) -> int | None:
    rows = type(row)._default_manager.using(row._state.db)
    return rows.values_list(Length("arg"), flat=True).filter(pk=row.pk).first()


def _indented(value: object) -> str:
    if isinstance(value, bytes):
        return repr(value)
    return json.dumps(value, indent=2, ensure_ascii=False, default=repr)
