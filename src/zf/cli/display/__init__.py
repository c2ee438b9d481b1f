"""What a run shows while it goes on, and streams that may be slow, full or closed."""
