"""What zf's proofs cost, measured beside what others cost without them: `python -m benchmarks`."""
