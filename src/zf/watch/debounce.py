"""When a burst of changes is over. Pure: moments come in, on any clock in seconds."""

from __future__ import annotations

from collections.abc import Iterable

# A file that is written all the time must not keep everything else waiting.
MOST_QUIETS = 50


class Debounce:
    """Changes come in bursts: a save is several events, a checkout thousands. A burst is over once
    nothing came for `quiet_s`, or after 50 times as long.
    """

    def __init__(self, quiet_s: float) -> None:
        self._quiet_s = quiet_s
        # When the burst under way began, None between bursts, and when its last change came.
        self.began: float | None = None
        self._last = 0.0

    def heard(self, now: float) -> None:
        """Something changed."""
        if self.began is None:
            self.began = now
        self._last = now

    def due_at(self) -> float | None:
        """When the burst will be over, should nothing more come; None while there is none."""
        if self.began is None:
            return None
        return min(self._last + self._quiet_s, self.began + MOST_QUIETS * self._quiet_s)

    def is_over(self, now: float) -> bool:
        """Whether a burst is over; from then on the next change begins another one."""
        due_at = self.due_at()
        if due_at is None or now < due_at:
            return False
        self.began = None
        return True


# The third cycle in a row that tasks may have caused themselves is begun after a rest, in which a
# change can only be the user's; a fourth is not begun.
_REST_FROM, _MOST_IN_A_ROW = 2, 3
REST_S = 2.0
# Two changes come at the same moment of their cycles when they are not further apart than this, or
# than this share of it.
_SAME_S, _SAME_SHARE = 0.5, 0.15


class Echoes:
    """Whether cycles follow from what their own tasks write, which would go on for ever.

    No event says which process wrote a file. So a change counts as the user's, and starts a cycle,
    also when it comes while tasks run. But when the same files change while tasks run, at the same
    moment of one cycle after the other, and never between two, then it is the tasks' own doing.
    """

    def __init__(self) -> None:
        self._in_a_row = 0
        self._asked = False
        # The files that changed since, and how many seconds after a task began; and before.
        self._files: frozenset[str] = frozenset()
        self._after_s = 0.0
        self._before: tuple[frozenset[str], float] = frozenset(), 0.0

    def changed(self, files: Iterable[str], after_s: float | None) -> None:
        """A burst is over that began so long after a task did that may have caused it; None where
        none ran.
        """
        if not self._files:
            self._after_s = after_s or 0.0
        self._files |= frozenset(files)
        self._asked |= after_s is None

    def asked(self) -> None:
        """The user wants a cycle."""
        self._asked = True

    @property
    def files(self) -> list[str]:
        """The files that changed since a cycle was begun."""
        return sorted(self._files)

    def rest_s(self) -> float | None:
        """How long a cycle that is due rests first; None for one that is not begun."""
        in_a_row = self._following()
        if in_a_row < _REST_FROM:
            return 0.0
        return REST_S if in_a_row < _MOST_IN_A_ROW else None

    def _following(self) -> int:
        """Which cycle in a row the next one would be."""
        if self._asked:
            return 0
        if not self._files:
            return min(self._in_a_row, 1)
        files, after_s = self._before
        apart = abs(after_s - self._after_s)
        is_same = self._files == files and apart <= max(_SAME_S, _SAME_SHARE * after_s)
        return self._in_a_row + 1 if is_same and self._in_a_row else 1

    def begun(self) -> None:
        """A cycle is begun."""
        if self._files or self._asked:
            self._in_a_row = self._following()
            self._before = self._files, self._after_s
        self._files, self._asked = frozenset(), False
