"""Where attempts run: here, or on what an executor's command reaches. Nothing here decides."""
