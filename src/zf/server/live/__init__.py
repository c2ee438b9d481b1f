"""What is followed while it grows: journals as server-sent events, and logs by their lines."""
