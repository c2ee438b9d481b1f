"""Events folded into one `Facts` value: what became of each task, and what held up what.

Pure: no clock, no file. Works on any prefix of a run, so the live board, a finished run and the
journal of a killed one are the same fold. Says nothing in words; the other modules do.
"""

from zf.report.facts.fold import Fold, build
from zf.report.facts.run import Facts, Result

__all__ = ["Facts", "Fold", "Result", "build"]
