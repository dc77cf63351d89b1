"""A model of the queue, and the real one beside it: whatever is done to both, they agree."""

from datetime import timedelta

from django.db import Error as AnyDatabaseError
from django.db import transaction
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from django_schwartz.client import TheSchwartz
from django_schwartz.exceptions import AllDatabasesDead, DuplicateJob
from django_schwartz.models import Error, ExitStatus, Job, Outcome, Verdict
from django_schwartz.models.outcome import settle_together
from tests.model.ledger import DECLINED_FOR, GRAB_FOR, RETRY_DELAY, Ledger
from tests.model.modelled import Entry, Held, Modelled, ends_in, jobs_in
from tests.model.outage import Outages
from tests.model.saying import SAY

NAMES = st.sampled_from(["Often", "Once"])
UNIQKEYS = st.sampled_from([None, None, "a", "b"])
VALUES = st.sampled_from(["x", "xy"])
COALESCE = st.none() | VALUES
PRIORITIES = st.sampled_from([None, 0, 5, -1])
DELAYS = st.sampled_from([0, 0, 0, 30])
SECONDS = st.sampled_from([1, DECLINED_FOR, GRAB_FOR, RETRY_DELAY])
CLIENTS = st.sampled_from([0, 1, 2])
PLACES = st.sampled_from([0, 1])
KEPT_FOR = st.sampled_from([0, 10**6])
SAYINGS = st.sampled_from(sorted(SAY))
#: What a worker does with a job, in its arg.
DEEDS = st.sampled_from(["completes", "fails", "gives up", "declines", "raises", "says nothing"])


class QueueMachine(RuleBasedStateMachine):
    """Two databases at most, and three clients: of all jobs, of some, and one with a floor."""

    held = Bundle("held")

    def __init__(self, aliases, clocks):
        super().__init__()
        self.aliases, self.clocks = aliases, clocks
        self.outages = Outages()
        self.entries = []
        #: Where uniqkeys went, by which databases lived.
        self.homes = {}
        self.pass_time_to(1_800_000_000)
        for alias in aliases:
            for model in (Error, ExitStatus, Job):
                model.objects.using(alias).all().delete()
        self.clients = [
            self.client("Once", "Often"),
            self.client("Often"),
            self.client("Once", "Often", floor=1),
        ]

    def client(self, *abilities, **options):
        client = TheSchwartz(self.aliases, retry_seconds=0, **options)
        for ability in abilities:
            client.can_do(ability)
        client.make_functions()
        return client

    def teardown(self):
        self.outages.end_all()

    # What is true of the model

    @property
    def alive(self):
        return [alias for alias in self.aliases if alias not in self.outages]

    def pass_time_to(self, now):
        self.now = now
        for clock in self.clocks:
            clock.set(now)

    def due(self, client, names, **narrowing):
        """The first due job of each database that can be reached, for the client."""
        found = [entry for entry in self.entries if self.is_due(entry, client, names, **narrowing)]
        by_alias = {}
        for entry in sorted(found, key=lambda entry: entry.order, reverse=True):
            by_alias[entry.alias] = entry
        return list(by_alias.values())

    def is_due(self, entry, client, names, *, coalesce=None, prefix=None):
        return (
            entry.alias in self.alive
            and entry.ledger.is_due(self.now)
            and entry.job.funcname in names
            and (not client.floor or (entry.job.priority or 0) >= client.floor)
            and coalesce in (None, entry.job.coalesce)
            and (prefix is None or (entry.job.coalesce or "").startswith(prefix))
        )

    def twin_of(self, job, alias):
        key = job.funcname, job.uniqkey
        for entry in self.entries:
            is_there = entry.alias == alias and entry.ledger.is_queued
            if is_there and job.uniqkey and key == (entry.job.funcname, entry.job.uniqkey):
                return entry
        return None

    def enter(self, job):
        """Note a job that was dispatched; whether it was a duplicate must be as it should."""
        alias, jobid = job.handle.alias, job.handle.jobid
        assert alias in self.alive
        twin = self.twin_of(job, alias)
        assert job.is_duplicate == (twin is not None)
        if twin is not None:
            assert twin.jobid == jobid
            return
        ledger = Ledger(run_after=self.now + job.asked_delay)
        self.entries.append(Entry(alias, jobid, job, ledger))

    def hold(self, job, expected):
        """Note what a client grabbed: one of the jobs that it should, or none as it should."""
        if not expected:
            assert job is None
            return multiple()
        assert job is not None
        entry = next((one for one in expected if one.job.handle == job.handle), None)
        assert entry is not None
        entry.ledger = entry.ledger.grabbed(self.now)
        return Held(entry, job, entry.ledger.grabs)

    @staticmethod
    def new_job(funcname, uniqkey=None, coalesce=None, priority=None, delay=0, deed="completes"):
        job = Job(
            funcname=funcname,
            arg=deed,
            uniqkey=uniqkey,
            coalesce=coalesce,
            priority=priority,
            run_after=timedelta(seconds=delay) if delay else None,
        )
        job.asked_delay = delay
        return job

    new_jobs = st.builds(new_job.__func__, NAMES, UNIQKEYS, COALESCE, PRIORITIES, DELAYS, DEEDS)

    # Dispatch

    @initialize(jobs=st.lists(new_jobs, min_size=1, max_size=3))
    def begin_with_some(self, jobs):
        self.dispatch_in_a_transaction(jobs, where=0, commits=True)

    @rule(job=new_jobs, who=CLIENTS)
    def dispatch(self, job, who):
        if not self.alive:
            self.is_refused(self.clients[who], job)
            return
        self.clients[who].dispatch_async(job)
        self.enter(job)
        self.is_at_home(job)

    def is_at_home(self, job):
        """Whatever lives, a uniqkey goes where it went before while the same lived."""
        if job.uniqkey is not None:
            case = job.funcname, job.uniqkey, tuple(self.alive)
            assert self.homes.setdefault(case, job.handle.alias) == job.handle.alias

    @staticmethod
    def is_refused(client, job):
        try:
            client.dispatch_async(job)
        except AllDatabasesDead:
            return
        raise AssertionError("a job was taken, and there was no database")

    @rule(jobs=st.lists(new_jobs, min_size=2, max_size=4), where=PLACES, commits=st.booleans())
    def dispatch_in_a_transaction(self, jobs, where, commits):
        alias = self.aliases[where % len(self.aliases)]
        if alias not in self.alive:
            return
        with transaction.atomic(using=alias):
            self.clients[0].dispatch_jobs(jobs)
            transaction.set_rollback(not commits, using=alias)
        for job in jobs if commits else ():
            self.enter(job)

    # Grab

    @rule(target=held, who=CLIENTS)
    def grab(self, who):
        client = self.clients[who]
        expected = self.due(client, client.current_abilities)
        return self.hold(client.find_job_for_workers(), expected)

    @rule(target=held)
    def take_over(self):
        """What a worker does not end in its time is another's."""
        self.pass_time(GRAB_FOR)
        return self.grab(0)

    @rule(target=held, held=held)
    def hand_over(self, held):
        self.say(held, "gives back")
        return self.grab(0)

    @rule(target=held, who=CLIENTS, name=NAMES, value=VALUES, is_prefix=st.booleans())
    def grab_along(self, who, name, value, is_prefix):
        client = self.clients[who]
        if is_prefix:
            expected = self.due(client, [name], prefix=value)
            return self.hold(client.find_job_with_coalescing_prefix(name, value), expected)
        expected = self.due(client, [name], coalesce=value)
        return self.hold(client.find_job_with_coalescing_value(name, value), expected)

    # Verdicts

    @rule(held=held, verdict=SAYINGS)
    def say(self, held, verdict):
        if held.entry.alias not in self.alive:
            self.cannot_be_said(held, verdict)
            return
        counts = held.counts
        assert SAY[verdict](held.job) == counts
        if counts:
            held.entry.say(verdict, self.now)
            held.has_spoken = verdict not in ("declines", "gives back")

    @staticmethod
    def cannot_be_said(held, verdict):
        if held.job.did_something or held.job.is_lost:
            return
        try:
            SAY[verdict](held.job)
        except AnyDatabaseError:
            return
        raise AssertionError("a verdict was recorded, and there was no database")

    @rule(held=held, verdict=SAYINGS)
    def say_and_roll_back(self, held, verdict):
        alias = held.entry.alias
        if alias not in self.alive:
            return
        with transaction.atomic(using=alias):
            assert SAY[verdict](held.job) == held.counts
            transaction.set_rollback(True, using=alias)

    @rule(one=held, other=held, keep_for=KEPT_FOR)
    def complete_together(self, one, other, keep_for):
        """As a worker process does with what its threads completed: one attempt of each job."""
        alias = one.entry.alias
        silent = [held for held in (one, other) if not held.job.did_something]
        together = {held.entry.jobid: held for held in silent if held.entry.alias == alias}
        if alias not in self.alive or not together:
            return
        counting = {jobid: held for jobid, held in together.items() if held.counts}
        outcome = Outcome(verdict=Verdict.COMPLETED, exit_status=0, keep_for=keep_for)
        settlements = [(held.job, outcome) for held in together.values()]
        assert settle_together(alias, settlements) == {*counting}
        for held in counting.values():
            held.entry.ledger = held.entry.ledger.ended(0 if keep_for else None)
            held.has_spoken = True

    @rule(held=held, children=st.lists(new_jobs, min_size=1, max_size=2))
    def replace(self, held, children):
        alias = held.entry.alias
        if alias not in self.alive:
            return
        counts, fits = held.counts, self.can_all_be_new(held.entry, children)
        try:
            assert held.job.replace_with(*children) == counts
        except DuplicateJob:
            assert counts
            assert not fits
            return
        assert fits or not counts
        if counts:
            held.entry.say("completes", self.now)
            held.has_spoken = True
            for child in children:
                self.enter(child)

    def can_all_be_new(self, replaced, children):
        keys = [(child.funcname, child.uniqkey) for child in children if child.uniqkey]
        twins = [self.twin_of(child, replaced.alias) for child in children]
        return len(set(keys)) == len(keys) and all(twin in (None, replaced) for twin in twins)

    @rule(held=held)
    def decline_for_as_long_as_the_lease(self, held):
        if held.entry.alias not in self.alive:
            return
        assert held.job.declined() == held.counts
        if held.counts:
            held.entry.ledger = held.entry.ledger.declined_for_the_lease()

    @rule(held=held)
    def add_failure(self, held):
        ledger = held.entry.ledger
        if held.entry.alias not in self.alive or held.has_spoken:
            return
        assert bool(held.job.add_failure("why")) == held.counts
        if held.counts:
            held.entry.ledger = ledger.having_failed()

    @rule(held=consumes(held))
    def die(self, held):
        """The worker is gone, and its lease stays."""

    # A worker at work

    @rule(who=CLIENTS)
    def work_once(self, who):
        client = self.clients[who]
        expected = self.due(client, client.current_abilities)
        expected = expected or self.due(client, client.all_abilities)
        Modelled.performed.clear()
        assert client.work_once() == bool(expected)
        for job in Modelled.performed:
            self.hold(job, expected).entry.perform(self.now)
        if expected and not Modelled.performed:  # too many have died of it
            [entry] = [one for one in expected if one.jobid not in jobs_in(one.alias)]
            entry.ledger = entry.ledger.grabbed(self.now)
            entry.perform(self.now)

    # The world

    @rule(seconds=SECONDS)
    def pass_time(self, seconds):
        self.pass_time_to(self.now + seconds)

    @rule(where=PLACES)
    def begin_outage(self, where):
        alias = self.aliases[where % len(self.aliases)]
        if alias in self.alive:
            self.outages.begin(alias)

    @rule(where=PLACES)
    def end_outage(self, where):
        alias = self.aliases[where % len(self.aliases)]
        if alias not in self.alive:
            self.outages.end(alias)

    # What must be so at any time

    @invariant()
    def the_rows_are_as_the_model_says(self):
        for alias in self.alive:
            entries = [entry for entry in self.entries if entry.alias == alias]
            assert jobs_in(alias) == {
                entry.jobid: (
                    entry.job.funcname,
                    entry.job.uniqkey,
                    entry.job.coalesce,
                    entry.ledger.run_after,
                    entry.ledger.grabbed_until,
                    entry.ledger.grabs,
                )
                for entry in entries
                if entry.ledger.is_queued
            }
            assert ends_in(alias) == {
                entry.jobid: (entry.ledger.failures, entry.ledger.exit_status)
                for entry in entries
                if entry.ledger.failures or entry.ledger.exit_status is not None
            }
