"""The keys of gates and monitors, and what cannot be meant by them."""
