"""The compiled half of `signal`: the other half makes members of enums of all that it says, which
takes 1.3 ms to import and most of every call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal  # what is asked of the one half is the same in the other
else:
    import _signal as signal

__all__ = ["signal"]
