"""Secrets out of every byte and every text that leaves a task."""
