"""What stands between tasks and their turn, or goes on beside them: gates, monitors, handlers."""
