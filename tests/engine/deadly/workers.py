"""Workers that die, hang, or say odd things; and what dies when a job is grabbed, or is done."""

import asyncio
import atexit
import copy
import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path

from django.db import connections, transaction
from django.dispatch import receiver

from django_schwartz import Worker, register
from django_schwartz.client import TheSchwartz
from django_schwartz.signals import job_finished, job_grabbed
from tests.app.models import Trace

hoarded = []


def end_by_signal():
    os.kill(os.getpid(), signal.SIGKILL)


def sleep_in_c(seconds):
    """Sleep where no exception is raised before the end."""
    ctypes.CDLL(None).usleep(int(seconds * 1_000_000))


def leave_trace(job, what):
    """Whether it is the first of its kind."""
    traces = Trace.objects.using(job.alias)
    is_first = not traces.filter(jobid=job.jobid, what=what).exists()
    traces.create(jobid=job.jobid, what=what)
    return is_first


DEATHS = {
    "SIGKILL": end_by_signal,
    "SIGSEGV": lambda: ctypes.string_at(0),
    "SIGABRT": os.abort,
    "exit": lambda: os._exit(3),
}


@register
class Die(Worker):
    """Die in the way of the arg, the first time; late enough for outcomes to be recorded before."""

    keep_exit_status_for = 3600

    def work(self, job):
        time.sleep(0.2)
        if leave_trace(job, "begun"):
            DEATHS[job.arg]()
        job.completed()


@register
class Fork(Worker):
    """Fork, in C if the arg says so, and return in both, or leave the child by sys.exit()."""

    keep_exit_status_for = 3600

    def work(self, job):
        child = ctypes.PyDLL(None).fork() if job.arg == "C" else os.fork()
        if not child and job.arg == "exit":
            sys.exit(3)
        if child:
            _, status = os.waitpid(child, 0)
            job.completed(os.waitstatus_to_exitcode(status))


@register
class LeaveOpen(Worker):
    """Leave a transaction open that was begun in the way of the arg."""

    keep_exit_status_for = 3600

    def work(self, job):
        if job.arg == "SQL":
            connections[job.alias].cursor().execute("BEGIN")
        else:
            transaction.atomic(using=job.arg).__enter__()
            Trace.objects.using(job.arg).create(jobid=0, what="of a transaction that is left")
        job.completed()


@register
class Elsewhere(Worker):
    """Leave a Trace in the database of the arg."""

    keep_exit_status_for = 3600

    def work(self, job):
        Trace.objects.using(job.arg).create(jobid=job.jobid, what="done")
        job.completed()


class OfItsOwn(BaseException):
    """Not even an Exception."""


@register
class RaiseInAHook(Worker):
    """Have its policy raise what nobody expects."""

    def get_max_retries(self, job):
        raise OfItsOwn

    def work(self, job):
        raise ValueError("no luck")


@register
class SleepOn(Worker):
    """Be a coroutine that takes longer than it may."""

    grab_for = 1
    keep_exit_status_for = 3600

    async def work(self, job):
        await asyncio.sleep(600)


@register
class CompleteACopy(Worker):
    """Be a coroutine that completes a copy of its job, made by the function of the arg."""

    keep_exit_status_for = 3600

    async def work(self, job):
        getattr(copy, job.arg)(job).completed("by a copy")


@register
class Poison(Worker):
    """Die every time, a moment after the start."""

    keep_exit_status_for = 3600

    def work(self, job):
        time.sleep(0.1)
        end_by_signal()


@register
class Good(Worker):
    """Take the seconds of the arg, and leave a Trace."""

    keep_exit_status_for = 3600

    def work(self, job):
        time.sleep(job.arg or 0)
        leave_trace(job, "done")
        job.completed()


@register
class Sleep(Worker):
    """Write the process id to arg["begun"], sleep for arg["seconds"], and leave a Trace."""

    keep_exit_status_for = 3600
    max_retries = 5

    def work(self, job):
        leave_trace(job, "begun")
        tell(job)
        time.sleep(job.arg["seconds"])
        leave_trace(job, "done")
        job.completed()


@register
class Together(Worker):
    """Grab the group along; the first time sleep for arg["seconds"]; die if one is poison."""

    keep_exit_status_for = 3600

    def work(self, job):
        client, group = TheSchwartz([job.alias]), [job]
        while other := client.find_job_with_coalescing_value(type(self), job.coalesce):
            group.append(other)
        is_first = all([leave_trace(one, "begun") for one in group])  # noqa: C419 - of each
        tell(job)
        time.sleep(max(one.arg["seconds"] for one in group) if is_first else 0)
        if any(one.arg.get("is_poison") for one in group):
            end_by_signal()
        for one in group:
            one.completed()


@register
class ShortTogether(Together):
    """The same, for one second at the most."""

    grab_for = 1


def tell(job):
    begun = Path(job.arg["begun"])
    begun.with_suffix(".new").write_text(str(os.getpid()))
    begun.with_suffix(".new").replace(begun)


class Short(Worker):
    keep_exit_status_for = 3600
    grab_for = 1


@register
class ShortSleep(Short):
    """Go on too long, in many steps of Python."""

    def work(self, job):
        tell(job)
        for _ in range(6000):
            time.sleep(0.01)


@register
class ShortSleepInC(Short):
    """Go on too long, where nothing of Python's can interrupt it."""

    def work(self, job):
        tell(job)
        sleep_in_c(60)


@register
class ShortSpin(Short):
    """Go on too long, with the processor at work."""

    def work(self, job):
        tell(job)
        while True:
            pass


@register
class LeaveBehind(Worker):
    """Leave behind what an end in order waits for: a thread, or what is to be done at exit."""

    keep_exit_status_for = 3600

    def work(self, job):
        if job.arg == "thread":
            threading.Thread(target=time.sleep, args=[1000], daemon=False).start()
        else:
            atexit.register(time.sleep, 1000)
        job.completed()


@register
class KeepInterpreter(Worker):
    """Keep the interpreter for itself for ever, so that no other thread goes on."""

    keep_exit_status_for = 3600

    def work(self, job):
        time.sleep(0.2)
        ctypes.PyDLL(None).sleep(1000)


@register
class DieBeforeCompleted(Worker):
    keep_exit_status_for = 3600

    def work(self, job):
        time.sleep(0.2)
        if leave_trace(job, "worked"):
            end_by_signal()
        job.completed()


@register
class DieInsideCompleted(Worker):
    keep_exit_status_for = 3600

    def work(self, job):
        time.sleep(0.2)
        is_first = leave_trace(job, "begun")
        with transaction.atomic(using=job.alias):
            leave_trace(job, "worked")
            job.completed()
            if is_first:
                end_by_signal()


@register
class DieAfterCompleted(Worker):
    keep_exit_status_for = 3600

    def work(self, job):
        time.sleep(0.2)
        leave_trace(job, "worked")
        job.completed()


@register
class DieAfterGrab(DieAfterCompleted):
    """The same name for what is done; the receivers tell the one from the other."""


@receiver(job_finished)
def die_after_completed(*, job, **_):
    if job.funcname == "DieAfterCompleted":
        end_by_signal()


@receiver(job_grabbed)
def die_after_grab(*, job, **_):
    if job.funcname == "DieAfterGrab" and leave_trace(job, "grabbed"):
        end_by_signal()


@register
class Exit(Worker):
    keep_exit_status_for = 3600

    def work(self, job):
        sys.exit(4)


@register
class Interrupted(Worker):
    keep_exit_status_for = 3600

    def work(self, job):
        raise KeyboardInterrupt


@register
class NoMemory(Worker):
    keep_exit_status_for = 3600

    def work(self, job):
        bytearray(2**62)


@register
class OutOfMemory(Worker):
    """Fill the small memory of the arg's control group, the first time."""

    keep_exit_status_for = 3600

    def work(self, job):
        time.sleep(0.2)
        if leave_trace(job, "begun"):
            Path(job.arg, "cgroup.procs").write_text(str(os.getpid()))
            hoarded.append(bytearray(os.urandom(1_000_000) * 1000))
        job.completed()


@register
class OddError(Worker):
    """Fail in words that no database takes."""

    keep_exit_status_for = 3600

    def work(self, job):
        raise ValueError(f"nul \0 surrogate {chr(0xD800)} {'x' * 1_000_000}")


@register
class OddArg(Worker):
    """Leave in its arg what no database takes, and be retried once."""

    keep_exit_status_for = 3600
    max_retries = 1

    def work(self, job):
        if job.grabs > 1:
            return job.completed()
        job.arg = f"nul \0 surrogate {chr(0xD800)}"
        return job.failed(f"again {chr(0xDFFF)}\0")


@register
class Hoard(Worker):
    """Hold on to so many megabytes for as long as the process lives."""

    keep_exit_status_for = 3600

    def work(self, job):
        hoarded.append(bytearray(os.urandom(1_000_000) * job.arg))
        job.completed()
