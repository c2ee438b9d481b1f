"""The other door: reads what runs leave, and starts ordinary runs as processes of their own."""
