"""Jobs know the number and the name of their function. After t/funcid.t."""

from django_schwartz.models import FuncMap, Job


def test_a_job_keeps_its_function_through_a_round_trip(client):
    handle = client.dispatch_async(Job(funcname="Note", jobid=41))

    job = handle.job

    assert job.jobid == 41
    assert job.funcname == "Note"
    assert job.funcid == FuncMap.objects.get(funcname="Note").funcid
