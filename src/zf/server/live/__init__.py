"""What pages and clients follow while it goes on: journals, events and logs."""
