"""Outputs of needs: what task files take of them has to be handed on there, and what it then is."""
