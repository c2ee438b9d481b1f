"""The scheduler: (state, event, now) -> orders, and the rules it is made of. All of it pure."""
