"""What looking up a result takes, loaded by a worker that has nothing else to do yet."""

import zf.audit.verify
import zf.work.caching.attempt  # noqa: F401
from zf.proof import forms, read


def get_ready(proofs: str) -> None:
    """Have it at hand, if there is a run that could be looked at."""
    if read.list_runs(proofs):
        forms.get_ready()
