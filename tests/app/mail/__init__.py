"""A package that nothing imports but who looks for the tasks in it."""
