"""A task that is a handler: for which ends of a phase, or of the run, it is there."""

from __future__ import annotations

SUCCESS, FAILURE, TIMEOUT, INTERRUPTED = "success", "failure", "timeout", "interrupted"
ALWAYS = "always"
WHEN = (SUCCESS, FAILURE, TIMEOUT, INTERRUPTED, ALWAYS)
# The phase in which those of the run are, after all others.
RUN_PHASE = "on_end"
