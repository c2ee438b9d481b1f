"""DO: everything that runs inside a worker process."""
