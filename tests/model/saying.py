"""What a worker can say of its job, by the ledger's words."""

from datetime import timedelta

from tests.model.ledger import DECLINED_FOR

SAY = {
    "completes": lambda job: job.completed(),
    "fails": lambda job: job.failed("why"),
    "gives up": lambda job: job.permanent_failure("why"),
    "declines": lambda job: job.declined(timedelta(seconds=DECLINED_FOR)),
    "gives back": lambda job: job.give_back(),
}
