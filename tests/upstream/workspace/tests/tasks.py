"""The tasks that django-tasks-db's tests enqueue."""

from django_schwartz.backend import task


@task
def noop_task(*args, **kwargs):
    pass


@task
async def noop_task_async(*args, **kwargs):
    pass


@task
def calculate_meaning_of_life():
    return 6 * 7


@task
def exit_task():
    raise SystemExit(1)


@task(takes_context=True)
def get_task_id(context):
    return context.task_result.id


@task(takes_context=True)
def test_context(context, attempt):
    if context.attempt != attempt:
        raise ValueError(context.attempt)
