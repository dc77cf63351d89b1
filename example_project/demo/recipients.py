"""The recipients that ship with the demo, and the way they come onto the list."""

import csv
from itertools import islice
from pathlib import Path

from mailinglist.models import Subscriber

RECIPIENTS_CSV = Path(__file__).with_name("recipients.csv")


def import_recipients(count: int | None) -> int:
    """Subscribe the first count recipients (all of them by default); return how many are new.

    In bulk, as an old list is moved in: no signal is sent, so nobody is welcomed.
    """
    before = Subscriber.objects.count()
    with RECIPIENTS_CSV.open(encoding="utf-8", newline="") as file:
        rows = islice(csv.DictReader(file), count)
        Subscriber.objects.bulk_create(
            [Subscriber(email=row["email"], name=row["name"]) for row in rows],
            ignore_conflicts=True,
        )
    return Subscriber.objects.count() - before
