"""What is to run and when: the queue, schedules, webhooks, and what watches over them."""
