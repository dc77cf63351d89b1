"""django_schwartz side by side with its peers: `python3 benchmarks/run.py`."""
