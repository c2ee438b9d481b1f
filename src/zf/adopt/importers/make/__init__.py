"""Makefiles: read, their values worked out as far as make need not run, and made tasks."""

from zf.adopt.importers.make.tasks import NAMES, read

__all__ = ["NAMES", "read"]
