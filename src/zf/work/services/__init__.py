"""Programs that run beside the steps of a task: started before them, ended after them."""
