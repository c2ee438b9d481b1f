"""What artifacts are called in a proof: names that every system and checksum tool takes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256
from os import fsencode

# File systems hold 255 bytes; this leaves room for the mark of a second name alike.
MAX_NAME = 240
_MAX_ENDING = 16
_PLAIN = re.compile(r"[A-Za-z0-9._+=@,~ -]")
_STORED = [chr(n) if _PLAIN.match(chr(n)) else f"%{n:02X}" for n in range(256)]


def stored_name(name: str) -> str:
    """What a file of this name is called in the proof, if no other is called so.

    Letters, digits and `._+=@,~-` stay, and spaces inside; the rest becomes `%XX` for each byte. A
    name too long for that is cut and marked with the hash of the whole.
    """
    data = fsencode(name)
    stored = "".join(map(_STORED.__getitem__, data))
    if stored[0] in "-~ ":
        stored = f"%{ord(stored[0]):02X}{stored[1:]}"
    if stored[-1] == " ":
        stored = f"{stored[:-1]}%20"
    if len(stored) > MAX_NAME:
        stem, dot, ending = stored.rpartition(".")
        ending = dot + ending if stem and len(ending) <= _MAX_ENDING else ""
        mark = f"~{sha256(data).hexdigest()[:16]}{ending}"
        stored = stored[: MAX_NAME - len(mark)] + mark
    return stored


class Names:
    """Which names are taken in which folder of 30-artifacts, upper and lower case being one."""

    def __init__(self) -> None:
        self._taken: dict[str, set[str]] = {}
        self._folders: dict[tuple[str, str], str] = {}

    def for_file(self, folder: str, name: str, but: Iterable[str] = ()) -> str:
        """A free name in a stored folder (its path with a `/` behind); never one of `but`."""
        taken = self._taken.setdefault(folder, set())
        first = final = stored_name(name)
        count = 1
        while final.casefold() in taken or (final != name and final in but):
            count += 1
            final = f"{first}~{count}"
        taken.add(final.casefold())
        return final

    def for_folder(self, folder: str, name: str, but: Iterable[str] = ()) -> str:
        """The same for a folder; asked again for the same one, the answer is the same."""
        final = self._folders.get((folder, name))
        if final is None:
            final = self._folders[folder, name] = self.for_file(folder, name, but)
        return final
