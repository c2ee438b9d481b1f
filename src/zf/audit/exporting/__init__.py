"""A verified run as something to hand over: an archive, a BagIt bag, an RO-Crate.

A format is a row here and a module whose `contents` makes the list of files of a `Sealed` run.
"""

from __future__ import annotations

from zf.lean.records import Struct


class Format(Struct, frozen=True):
    """What a format is, its module, and how its folder is called besides the run's id."""

    about: str
    module: str
    suffix: str = ""
    is_archive: bool = False


FORMATS = {
    "tar": Format("a PAX archive, its SHA-256 printed", "tar", is_archive=True),
    "bagit": Format("a BagIt bag", "bag", ".bag"),
    "ro-crate": Format("a Process Run Crate", "crate", ".crate"),
}
