"""Justfiles: read, their values worked out as far as just need not run, and made tasks."""

from zf.adopt.importers.just.recipes import NAMES, read

__all__ = ["NAMES", "read"]
