"""Messages about runs: put into an outbox when a run is over, and sent until they are received."""
