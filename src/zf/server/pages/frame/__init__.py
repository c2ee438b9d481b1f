"""What the pages have in common: their frame, their addresses, and how a run is told in a row."""
