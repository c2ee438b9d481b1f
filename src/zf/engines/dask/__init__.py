"""A pool of Dask workers as an executor: attempts are Dask tasks, agents run beside the workers."""
