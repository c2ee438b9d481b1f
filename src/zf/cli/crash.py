"""A bug of zf's own, told to the user: in a sentence, with the traceback where it can be found."""

from __future__ import annotations

import sys

from zf import __version__
from zf.errors import printable


def told(error: Exception) -> str:
    """What to say; the traceback is in the file it names, or below where no file can be written."""
    import tempfile
    import traceback

    what = f"internal error: {printable(f'{type(error).__name__}: {error}')}\n"
    bug = "  This is a bug in zf, not in your task files. The traceback is"
    trace = f"zf {__version__}, Python {sys.version}\n{sys.argv!r}\n\n"
    trace += "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="zf-crash-", suffix=".txt", delete=False, errors="backslashreplace"
        ) as file:
            file.write(trace)
    except OSError:
        return f"{what}{bug}:\n{trace}"
    return f"{what}{bug} in {file.name}"
