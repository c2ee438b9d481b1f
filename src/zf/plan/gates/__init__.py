"""The keys of gates and monitors, those who may approve, and what cannot be meant."""
