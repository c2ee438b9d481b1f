"""Workflows of GitHub Actions: their expressions, the actions that are known, and tasks made."""

from zf.adopt.importers.github.workflow import file_of, read

__all__ = ["file_of", "read"]
