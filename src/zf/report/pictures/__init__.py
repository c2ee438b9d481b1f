"""The run as pictures inside its page: over time, and as a graph of what needs what."""
