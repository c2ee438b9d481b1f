"""How long tasks took in earlier runs, from which a run gets its start order and its time left."""
