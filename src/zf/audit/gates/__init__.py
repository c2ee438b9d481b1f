"""Approvals: what is approved, what an approval says, and whether it counts."""
