"""JUDGE: what a stranger can find out about a bundle, sharing no code with what ran."""
