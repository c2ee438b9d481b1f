"""What a task's own files say of its results: reports of tests."""
