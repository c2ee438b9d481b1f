"""How many wrong tokens an address may try: pure, with the time as a value."""

from __future__ import annotations

# So many in so long; a person who pastes the wrong one does not notice.
MOST, WITHIN_S = 10, 60.0
# Addresses that are remembered; the oldest go first.
_ADDRESSES = 10_000


class Throttle:
    """The times of the last wrong tokens, by address."""

    def __init__(self) -> None:
        self._wrong: dict[str, list[float]] = {}

    def wrong(self, address: str, now: float) -> float:
        """Count one; for how many seconds that address is to wait, 0 if it need not."""
        times = [at for at in self._wrong.pop(address, ()) if now - at < WITHIN_S]
        times.append(now)
        self._wrong[address] = times[-MOST - 1 :]
        if len(self._wrong) > _ADDRESSES:
            del self._wrong[next(iter(self._wrong))]
        return WITHIN_S - (now - self._wrong[address][0]) if len(times) > MOST else 0.0
