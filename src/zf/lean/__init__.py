"""How zf starts quickly: what is not imported until it is used. Skip it on a first reading."""
