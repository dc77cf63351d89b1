"""The queue in the places of the backends that the tests from upstream are about."""
