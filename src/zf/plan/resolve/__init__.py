"""What a task comes to: what defaults and templates say of it, and what it says itself."""
