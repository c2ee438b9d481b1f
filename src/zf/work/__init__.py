"""DO: worker processes, and the runner's side of them."""
