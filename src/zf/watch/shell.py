"""A shell that a watch has opened: `zf shell TASK`, which has the terminal until it is left.

It is in the watch's process group, as bash in it gives the terminal back to that. Meanwhile the
watch begins nothing and shows nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any


class Shell:
    """One that is open. `fd` becomes readable when it has been left."""

    def __init__(self, task: str, values: Mapping[str, Any]) -> None:
        """Open that of `task`, whose run would get these options. Raises OSError."""
        inputs = [f"--input={one}" for one in values.get("inputs") or ()]
        if values.get("inputs_file") is not None:
            inputs.append(f"--inputs={values['inputs_file']}")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "zf", "shell", *inputs, "--", task]
        )
        self.fd, told = os.pipe()
        # What is started in the shell may stay, so no descriptor of its tells of its end.
        threading.Thread(target=self._wait, args=(told,), daemon=True).start()

    def _wait(self, told: int) -> None:
        self._process.wait()
        os.close(told)

    def is_left(self) -> bool:
        """Whether it is over."""
        return self._process.returncode is not None

    def end(self) -> None:
        """Have it end, as when its terminal is gone."""
        self._process.terminate()

    def close(self) -> None:
        """It is over."""
        os.close(self.fd)
