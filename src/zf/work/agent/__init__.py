"""The worker's outside, for a runner that is elsewhere: frames, archives, checkouts, the agent."""
