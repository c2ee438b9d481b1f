"""A run as spans, for whatever collects traces."""
