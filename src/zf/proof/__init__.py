"""KEEP, provably: the journal, the proof tree, and the checks an auditor can repeat."""
