"""Environments of tox: what its files say of each, and tasks that set them up and run them."""

from zf.adopt.importers.tox.tasks import NAMES, read

__all__ = ["NAMES", "read"]
