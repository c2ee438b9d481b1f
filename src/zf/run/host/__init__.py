"""What a run holds of its machine, and hears from it: its lock, leases, load, signals."""
