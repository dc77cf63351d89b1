"""The tests from upstream that ask for something else than the backend, and why."""

WORKER = "KeyboardInterrupt ends the caller of an inline backend; in a worker it is a failure"
INLINE = "an inline backend has no deferring and no results to ask for"
COPY = "it changes the backend's own list of results in memory"
UUID = "a result's id is the handle of its job, not a UUID"
OTHER = "it is about django-tasks-db's own app, command or options"
MESSAGE = "the words are django-tasks-db's own"
WORDS = "the backport, or an older Python, says it in other words"

EXCLUDED = {
    "DummyBackendTestCase.test_refresh_result": COPY,
    "DummyBackendTestCase.test_refresh_result_async": COPY,
    "ImmediateBackendTestCase.test_throws_keyboard_interrupt": WORKER,
    "ImmediateBackendTestCase.test_cannot_get_result": INLINE,
    "ImmediateBackendTestCase.test_cannot_refresh_result": INLINE,
    "ImmediateBackendTestCase.test_cannot_pass_run_after": INLINE,
    "DatabaseBackendTestCase.test_enqueue_task": UUID,
    "DatabaseBackendTestCase.test_enqueue_task_async": UUID,
    "DatabaseBackendTestCase.test_database_backend_app_missing": OTHER,
    "DatabaseBackendTestCase.test_custom_id_function": OTHER,
    "DatabaseBackendTestCase.test_unknown_id_function": OTHER,
    "DatabaseBackendTestCase.test_postgres_db_id_function": OTHER,
    "DatabaseBackendTestCase.test_postgres_id_function_expression": OTHER,
    "DatabaseBackendWorkerTestCase.test_no_tasks": OTHER,
    "DatabaseBackendWorkerTestCase.test_complex_return_value": MESSAGE,
    "DatabaseBackendWorkerTestCase.test_verbose_logging": MESSAGE,
    "DatabaseBackendWorkerTestCase.test_max_tasks": MESSAGE,
    "DatabaseBackendWorkerTestCase.test_unknown_backend": OTHER,
    "DatabaseBackendWorkerTestCase.test_incorrect_backend": OTHER,
    "DatabaseBackendWorkerTestCase.test_negative_interval": OTHER,
    "DatabaseBackendWorkerTestCase.test_infinite_interval": OTHER,
    "DatabaseBackendWorkerTestCase.test_fractional_interval": OTHER,
    "DatabaseBackendWorkerTestCase.test_zero_interval": OTHER,
    "DatabaseBackendWorkerTestCase.test_negative_max_tasks": OTHER,
    "DatabaseBackendWorkerTestCase.test_zero_max_tasks": OTHER,
    "DatabaseBackendWorkerTestCase.test_too_long_worker_id": OTHER,
    "DatabaseBackendWorkerTestCase.test_empty_worker_id": OTHER,
    "ConnectionExclusiveTranscationTestCase": OTHER,
    "DatabaseBackendPruneTaskResultsTestCase": OTHER,
    "DatabaseWorkerProcessTestCase": OTHER,
    "CompatTestCase": OTHER,
    "AdminTestCase": OTHER,
}

#: The same where the tasks are the backport's and the tests Django's.
EXCLUDED_OF_BACKPORT = {
    "CustomBackendTestCase.test_enqueue_async_task_on_non_async_backend": WORDS,
    "CustomBackendTestCase.test_no_enqueue": WORDS,
    "DummyBackendTestCase.test_validate_disallowed_async_task": WORDS,
}
