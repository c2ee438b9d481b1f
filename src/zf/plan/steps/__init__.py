"""What steps may say: their keys, and what values of their variables name."""
