"""The loop: `python -m benchmarks.jobs.raw BATCH`."""

import sys
import time

import psycopg

from benchmarks.ledger import mark
from benchmarks.peers.raw import FUNCID

POLL_SECONDS = 0.05
GRAB = """
    UPDATE django_schwartz_job SET grabbed_until = %(now)s + 3600 WHERE jobid = ANY(ARRAY(
        SELECT jobid FROM django_schwartz_job
        WHERE funcid = %(funcid)s AND run_after <= %(now)s AND grabbed_until <= %(now)s
        ORDER BY jobid LIMIT %(batch)s FOR UPDATE SKIP LOCKED
    )) RETURNING jobid, arg
"""
DELETE = "DELETE FROM django_schwartz_job WHERE jobid = ANY(%s)"


def main(batch: int) -> None:
    with psycopg.connect(autocommit=True) as connection:
        (funcid,) = connection.execute(FUNCID).fetchone()
        while True:
            wanted = {"funcid": funcid, "now": int(time.time()), "batch": batch}
            jobs = connection.execute(GRAB, wanted).fetchall()
            for _, arg in jobs:
                mark(int(arg))
            if jobs:
                connection.execute(DELETE, [[jobid for jobid, _ in jobs]])
            else:
                time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    main(int(sys.argv[1]))
