"""Torture: the queue under load and faults, audited against a ledger that is kept outside it.

`manage.py schwartz_torture` runs it. The processes that it starts run with the project's settings
and this package as one more app, whose workers are the only ones that they perform.
"""
