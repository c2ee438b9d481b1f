"""Results of earlier runs that count for a task: its key, finding them, taking them over."""
