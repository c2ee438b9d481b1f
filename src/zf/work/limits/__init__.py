"""What the processes of a task may have of the machine, held by the kernel."""
