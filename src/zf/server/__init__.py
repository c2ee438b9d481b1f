"""The other door: pages and an API over the same runs."""
