"""Which requests are let in: by their origin, and by the tokens and roles they come with."""
