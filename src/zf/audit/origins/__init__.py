"""Earlier runs whose results count in the one that is judged."""
