"""What zf.yaml says of how runs are started by a server: schedules, webhooks, reconciliation."""
