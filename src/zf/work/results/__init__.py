"""What steps leave besides artifacts: what their own files say, and what dependents may take."""
