"""Matrices: one task of a file as several, one for each combination of values."""
