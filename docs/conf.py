"""Sphinx's configuration: `sphinx-build -W docs docs/_build`."""

from django_schwartz import __version__

project = "django_schwartz"
author = "django_schwartz contributors"
copyright = author  # noqa: A001 (Sphinx's name)
version = release = __version__

exclude_patterns = ["_build"]
html_theme = "alabaster"
