"""What the files of another tool tell, and task files made of it."""
