"""What a task file says of services: their keys, and what cannot be meant."""
