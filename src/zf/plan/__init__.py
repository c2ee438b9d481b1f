"""WHAT should happen: task files in, one checked and ordered plan out."""
