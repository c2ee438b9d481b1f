"""Verbs about what a server runs later: its queue, its schedules, its switches."""
