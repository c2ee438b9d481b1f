"""What other processes do while the project is loaded: git looks at the work tree, and the run that
is to be built on is verified.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from zf.errors import ZfError
from zf.proof.layout import BUILT_ON, LOCKS

if TYPE_CHECKING:
    from typing import Self

    from zf.proof.source.early_look import Looking
    from zf.work.caching.beforehand import Verifying


class Beside:
    """What is done beside the loading of a project that is to be run: a look at the work tree, and
    one at the `run` that is to be built on. None stands for the one that most likely will be, the
    empty word for none.
    """

    looking: Looking | None = None
    verifying: Verifying | None = None

    def __init__(self, run: str | None = "") -> None:
        self._run = run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.looking is not None:
            self.looking.close()
        self.verified()

    def verified(self) -> None:
        """Nothing is to be built on what is not verified by now."""
        if self.verifying is not None:
            self.verifying.close()
            self.verifying = None

    def look(self, root: str, home: str) -> None:
        """Begin to look at the work tree."""
        from zf.proof.source.early_look import Looking  # noqa: PLC0415 - once this is needed

        proofs = f"{home}/proofs"
        self.looking = Looking.begin(root, (proofs,), os.environ, f"{proofs}/{LOCKS}")

    def verify(self, home: str, loading: int | None) -> None:
        """Begin to verify the run, if there is one; `loading` is the pipe that the project comes
        from.
        """
        proofs, run_dir = f"{home}/proofs", ""
        guess = f"{proofs}/{LOCKS}/{BUILT_ON}"
        if self._run == "" or (self._run is None and not os.path.exists(guess)):
            return
        from zf.work.caching import beforehand  # noqa: PLC0415 - few runs are built on another

        if self._run is None:
            if run := beforehand.guessed(proofs, guess):
                run_dir = f"{proofs}/{run}"
        else:
            from zf.proof.read import find_run  # noqa: PLC0415 - as above

            with suppress(ZfError):  # which will be told when the run is looked for
                run_dir = find_run(proofs, self._run)
        if run_dir:
            self.verifying = beforehand.Verifying.begin(run_dir, after=loading)
