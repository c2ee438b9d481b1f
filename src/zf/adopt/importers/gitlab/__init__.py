"""Pipelines of GitLab: put together of what they include and extend, and made tasks."""

from zf.adopt.importers.gitlab.pipeline import NAMES, read

__all__ = ["NAMES", "read"]
