"""The probes of a task that says `repeat`: one attempt, of which the steps run again and again."""
