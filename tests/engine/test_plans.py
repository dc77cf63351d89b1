"""How the databases go about a grab: along the index, whatever else is in the queue."""

import re

import pytest
from django.db import connections, transaction

from django_schwartz.models import FuncMap, Job, Outcome
from django_schwartz.models.outcome import Verdict
from django_schwartz.models.outcome import settle_together as leave

pytestmark = pytest.mark.only_on("sqlite", "postgresql")

FUNCTIONS = 20
JOBS = 100_000

FILL = {
    "sqlite": """
        WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {jobs})
        INSERT INTO {table} (funcid, run_after, priority, grabbed_until, grabs)
        SELECT funcid, 1000 + n + (n / 100 % 2) * 4000000000, n / 20 % 5, 0, 0
        FROM numbers JOIN (SELECT funcid, row_number() OVER (ORDER BY funcid) AS place
            FROM {functions} WHERE funcname LIKE 'Plan%%') ON place = 1 + n % {count}""",
    "postgresql": """
        INSERT INTO {table} (funcid, run_after, priority, grabbed_until, grabs)
        SELECT funcid, 1000 + n + (n / 100 % 2) * 4000000000::bigint, n / 20 % 5, 0, 0
        FROM generate_series(1, {jobs}) AS n
        JOIN (SELECT funcid, row_number() OVER (ORDER BY funcid) AS place
            FROM {functions} WHERE funcname LIKE 'Plan%%') AS f ON place = 1 + n % {count}""",
}


@pytest.fixture
def funcids(database):
    """A queue of 100,000 jobs of twenty functions, half of them delayed; gives the functions."""
    funcids = [
        FuncMap.objects.get_or_make(f"Plan{n:02}", using=database).funcid for n in range(FUNCTIONS)
    ]
    sql = FILL[database].format(
        table=Job._meta.db_table,
        functions=FuncMap._meta.db_table,
        jobs=JOBS,
        count=FUNCTIONS,
    )
    with connections[database].cursor() as cursor:
        cursor.execute(sql.replace("%%", "%"))
        cursor.execute(f"ANALYZE {Job._meta.db_table}")
    return funcids


@pytest.fixture
def plans(database):
    """The plans of the statements on jobs that a call sends, each told as the database tells it."""

    def plans(call):
        told = []
        explain = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN (ANALYZE, COSTS OFF) "}

        def wrapper(execute, sql, params, many, context):
            if Job._meta.db_table in sql and not sql.startswith("EXPLAIN"):
                told.append(plan_of(explain[database] + sql, params))
            return execute(sql, params, many, context)

        def plan_of(sql, params):
            with transaction.atomic(using=database), connections[database].cursor() as cursor:
                cursor.execute(sql, params)
                plan = "\n".join(str(row[-1]) for row in cursor.fetchall())
                transaction.set_rollback(True, using=database)
            return plan

        with connections[database].execute_wrapper(wrapper):
            call()
        return told

    return plans


def test_a_grab_of_a_batch_reads_the_index_in_its_order(client, database, funcids, plans):
    queue = Job.objects.using(database)
    lease = client.lease([f"Plan{n:02}" for n in range(FUNCTIONS)], database)
    levels = queue.find_levels(funcids)

    [plan] = plans(lambda: queue.grab_levels(levels[:40], lease, limit=40))

    assert_reads_the_index(plan, database)


def test_a_look_for_levels_reads_the_index_in_its_order(database, funcids, plans):
    levels = []

    [plan] = plans(lambda: levels.extend(Job.objects.using(database).find_levels(funcids)))

    assert_reads_the_index(plan, database)
    assert len(levels) == 5 * FUNCTIONS


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("holds", [1, 30, 300], ids="{} kinds of holds".format)
def test_what_a_batch_leaves_is_found_by_its_numbers(database, funcids, plans, holds):
    jobs = list(Job.objects.using(database).order_by("pk")[:1000])
    for number, job in enumerate(jobs):
        job.grabs = 1 + number % holds
    Job.objects.using(database).bulk_update(jobs, ["grabs"])
    done = Outcome(verdict=Verdict.COMPLETED, exit_status=0)
    gone = set()

    [plan] = plans(lambda: gone.update(leave(database, [(job, done) for job in jobs])))

    assert gone == {job.jobid for job in jobs}
    assert not re.search(rf"Seq Scan on {Job._meta.db_table}\b", plan), plan


def assert_reads_the_index(plan, database):
    assert "schwartz_job_grab" in plan, plan
    if database == "postgresql":
        assert not re.search(rf"Seq Scan on {Job._meta.db_table}\b", plan), plan
        read = [int(rows) for rows in re.findall(r"Index.* rows=(\d+)", plan)]
        assert max(read) < 1000, plan
    else:
        assert not re.search(r"SCAN (job|django_schwartz_job)\b", plan), plan
        assert not [
            line for line in plan.splitlines() if "TEMP B-TREE" in line and "priority" in line
        ], plan
