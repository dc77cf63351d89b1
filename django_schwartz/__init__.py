"""A reliable job queue for Django, after Perl's TheSchwartz.

Safe to import before the app registry is ready: nothing here imports a model.
"""

from django_schwartz.worker import Worker, register

__all__ = ["Worker", "__version__", "register"]
__version__ = "0.1.0"
