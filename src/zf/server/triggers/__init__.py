"""What starts runs without being asked: schedules, deliveries to webhooks, and reconciliation."""
