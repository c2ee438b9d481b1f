"""What the files of a run say, held against each other."""
