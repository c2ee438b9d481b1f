"""What a cause comes to in a sentence, where nothing more is known of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from zf.events import Cause

SENTENCES: Mapping[Cause, str] = {
    Cause.TIMEOUT: "its time ran out",
    Cause.PHASE_TIMEOUT: "the phase timeout struck before it could start",
    Cause.INTERRUPT: "zf was interrupted before it could start",
    Cause.PHASE_FAILED: "an earlier phase failed",
    Cause.FAIL_FAST: "another task had failed (--fail-fast)",
    Cause.MATRIX: "another instance of its matrix had failed (fail_fast)",
    Cause.SPAWN: "a step could not be started",
    Cause.WORKDIR: "its workdir cannot be used",
    Cause.SURVIVORS: "it left processes behind",
    Cause.ARTIFACTS: "an artifact was refused",
    Cause.BUDGET: "it used more than its budget",
    Cause.METRICS: "what it measured could not be read",
    Cause.STORAGE: "its proof could not be written",
    Cause.WORKER: "its worker died or stopped answering",
    Cause.RUNNER: "zf itself died while it ran",
    Cause.STEP_TIMEOUT: "a step's time ran out",
    Cause.SKIP_EXIT_CODE: "a step said that there is nothing to do",
    Cause.SILENCE: "it printed nothing for too long",
    Cause.CONDITION: "its condition did not let it run",
    Cause.DEADLINE: "its deadline passed",
    Cause.QUEUE_TIMEOUT: "it waited too long for its turn",
    Cause.CANCEL: "cancelled by `zf cancel`",
    Cause.CLEANUP: "its cleanup failed",
}

# Why an attempt that was to come never came.
DROPPED: Mapping[Cause, str] = {
    Cause.PHASE_TIMEOUT: "the phase timeout struck",
    Cause.INTERRUPT: "zf was interrupted",
    Cause.DEADLINE: "a deadline passed",
    Cause.MATRIX: "another instance of its matrix failed",
}
