"""`Idempotency-Key`: a request that comes again within 24 h, under the same key and from the same
caller, has the answer of the first one, and no second effect.

A key is kept, with the run it stands for, before anything is done; so it holds over a restart.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from zf.proof.canonical import canonical
from zf.proof.files import write_json
from zf.server.access.roles import Who
from zf.server.problems import Refused

HEADER = "Idempotency-Key"
KEPT_S = 24 * 3600.0
_LONGEST = 255


class Keys:
    """Those in a server's folder, a file each, named by their hash."""

    def __init__(self, folder: str) -> None:
        self._folder = f"{folder}/keys"
        os.makedirs(self._folder, exist_ok=True)
        self._lock = threading.Lock()
        self._swept = 0.0

    def claim(self, key: str | None, who: Who, asked: Any, run: str) -> tuple[str, bool]:
        """The run that a request stands for, and whether it came before: `run` where it is new.
        Raises Refused for a key that stood for something else (422).
        """
        if key is None:
            return run, False
        if not key or len(key) > _LONGEST:
            why = f"{HEADER} has from 1 to {_LONGEST} characters"
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, why, code="ZF829")
        name = sha256(f"{who.name}\0{key}".encode("utf-8", "replace")).hexdigest()
        digest = sha256(canonical(asked)).hexdigest()
        with self._lock:
            self._sweep(time.time())
            found = self._read(name)
            if found is None:
                write_json(f"{self._folder}/{name}.json", {"asked": digest, "run": run})
                return run, False
        if found["asked"] != digest:
            why = f"this {HEADER} was used for another request"
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, why, code="ZF829")
        return str(found["run"]), True

    def forget(self, key: str | None, who: Who) -> None:
        """What was asked for was refused: nothing has been done under this key."""
        if key is not None:
            name = sha256(f"{who.name}\0{key}".encode("utf-8", "replace")).hexdigest()
            with suppress(OSError):
                os.unlink(f"{self._folder}/{name}.json")

    def _read(self, name: str) -> Mapping[str, Any] | None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            with open(f"{self._folder}/{name}.json", encoding="utf-8") as file:
                found: Mapping[str, Any] = json.load(file)
            return {"asked": found["asked"], "run": found["run"]}
        return None

    def _sweep(self, now: float) -> None:
        if now - self._swept < KEPT_S / 24:
            return
        self._swept = now
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(OSError):
                    if now - entry.stat().st_mtime > KEPT_S:
                        os.unlink(entry.path)
