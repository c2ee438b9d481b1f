"""TELL: events in, facts out, and texts made of facts."""
