"""A file as text: read safely, parsed as YAML 1.2, and pointed into for messages."""
