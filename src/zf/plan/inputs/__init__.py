"""Inputs of a run: what the project declares, and values made of what was given."""
