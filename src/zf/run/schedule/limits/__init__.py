"""What holds a task back, or ends it, though its needs are met: slots, budgets, leases, load."""
