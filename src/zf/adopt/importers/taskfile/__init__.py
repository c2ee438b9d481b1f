"""Taskfiles of go-task: read with what they include, their templates worked out, and made tasks."""

from zf.adopt.importers.taskfile.tasks import NAMES, read

__all__ = ["NAMES", "read"]
