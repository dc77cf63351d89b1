"""The job that does nothing but say that it was performed, as each peer declares it."""
