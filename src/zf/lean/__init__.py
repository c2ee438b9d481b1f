"""How zf starts quickly: cheap classes, imports at first use. Skip this on a first reading."""
