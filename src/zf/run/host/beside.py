"""What other processes do while the project is loaded: git looks at the work tree, and the run that
is to be built on is verified.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from zf.errors import ZfError
from zf.proof.layout import LOCKS

if TYPE_CHECKING:
    from typing import Self

    from zf.proof.source.early_look import Looking
    from zf.work.caching.beforehand import Verifying


class Beside:
    """What is done beside the loading of a project that is to be run: a look at the work tree, and
    one at the `run` that is to be built on.
    """

    looking: Looking | None = None
    verifying: Verifying | None = None

    def __init__(self, run: str = "") -> None:
        self._run = run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.looking is not None:
            self.looking.close()
        self.let_go()

    def verified(self) -> None:
        """Nothing is to be built on what is not verified by now."""
        if self.verifying is not None:
            self.verifying.end()

    def let_go(self) -> None:
        """The run is over, so that nothing waits for what verified."""
        if self.verifying is not None:
            self.verifying.close()
            self.verifying = None

    def look(self, root: str, home: str) -> None:
        """Begin to look at the work tree."""
        from zf.proof.source.early_look import Looking  # noqa: PLC0415 - once this is needed

        proofs = f"{home}/proofs"
        self.looking = Looking.begin(root, (proofs,), os.environ, f"{proofs}/{LOCKS}")

    def verify(self, home: str) -> None:
        """Begin to verify the run, if there is one."""
        if not self._run:
            return
        from zf.proof.read import find_run  # noqa: PLC0415 - once this is needed
        from zf.work.caching.beforehand import Verifying  # noqa: PLC0415 - as above

        with suppress(ZfError):  # which will be told when the run is looked for
            self.verifying = Verifying.begin(find_run(f"{home}/proofs", self._run))
