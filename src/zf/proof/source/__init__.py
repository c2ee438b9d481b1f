"""Where a run came from: git, the CI system, the machine and the person."""
