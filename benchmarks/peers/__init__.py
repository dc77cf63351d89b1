"""The queues that are measured, a class each. `PEERS` has them by name.

To add one: a class here, in a module of its own, with the verbs of Peer, and its no-op job in
`benchmarks.jobs`.
"""

from benchmarks.peers.celery import Celery
from benchmarks.peers.dj_queue import DjQueue
from benchmarks.peers.django_ox import DjangoOx
from benchmarks.peers.django_schwartz import DjangoSchwartz
from benchmarks.peers.django_tasks_db import DjangoTasksDb
from benchmarks.peers.graphile_worker import GraphileWorker
from benchmarks.peers.oban import Oban
from benchmarks.peers.pgqueuer import PgQueuer
from benchmarks.peers.procrastinate import Procrastinate
from benchmarks.peers.raw import Raw

PEERS = {
    peer.name: peer
    for peer in (
        DjangoSchwartz(),
        Raw(),
        DjangoTasksDb(),
        DjangoOx(),
        DjQueue(),
        Procrastinate(),
        PgQueuer(),
        Oban(),
        Celery(),
        GraphileWorker(),
    )
}
