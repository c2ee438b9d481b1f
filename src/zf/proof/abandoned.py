"""What a killed run leaves open: cleared of what its journal does not name, before it is finished
or sealed as it is.

With the runner its memory is gone, and anything may have been written into the run's folder since.
The journal is believed as far as its chain holds; an outcome that it does not name is none.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable
from contextlib import suppress

from zf.events import AttemptEnded, AttemptStarted, Event, TaskNotRun
from zf.proof.store import ATTEMPTS_LIST, CHECKSUMS, FOLDERS, SUMMARY, hash_tree, remove

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def drop_unfinished(run_dir: str) -> None:
    """Remove the files that were being written when the runner died."""
    folder = os.open(run_dir, _FOLDER)
    try:
        for name in os.listdir(folder):
            if name.startswith(".") and name.endswith(".tmp"):
                remove(folder, name)
    finally:
        os.close(folder)


def drop_unnamed(run_dir: str, planned: Collection[str], events: Iterable[Event]) -> None:
    """Remove the trees of planned tasks that the journal knows nothing of, and a blocked.json that
    it does not name: the run had not ended.
    """
    named = {e.task for e in events if isinstance(e, AttemptStarted | AttemptEnded | TaskNotRun)}
    folder = os.open(run_dir, _FOLDER)
    try:
        for name in os.listdir(folder):
            if name == "blocked.json" or (name in planned and name not in named):
                remove(folder, name)
    finally:
        os.close(folder)


def clear_open(run_dir: str, events: Iterable[Event]) -> None:
    """Make the trees of attempts that had not ended fit to be sealed as they are: without the lists
    and outcomes that their workers never told of, and without what no proof can hold.
    """
    open_tasks: dict[str, None] = {}
    for event in events:
        if isinstance(event, AttemptStarted):
            open_tasks[event.task] = None
        elif isinstance(event, AttemptEnded):
            open_tasks.pop(event.task, None)
    folder = os.open(run_dir, _FOLDER)
    try:
        for task in open_tasks:
            _clear(folder, task)
    finally:
        os.close(folder)


def _clear(run: int, task: str) -> None:
    try:
        mode = os.stat(task, dir_fd=run, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        remove(run, task)
        return
    tree = os.open(task, _FOLDER, dir_fd=run)
    try:
        for name in os.listdir(tree):
            if name not in {*FOLDERS, "attempts"}:
                remove(tree, name)
        for name in (SUMMARY, CHECKSUMS):
            _empty(tree, name, but=ATTEMPTS_LIST)
        for _ in hash_tree(tree):
            pass  # which removes what no list can name
        _prune(tree, 0)
    finally:
        os.close(tree)


def _empty(tree: int, name: str, but: str) -> None:
    with suppress(FileNotFoundError, NotADirectoryError):
        folder = os.open(name, _FOLDER, dir_fd=tree)
        try:
            for one in os.listdir(folder):
                if one != but:
                    remove(folder, one)
        finally:
            os.close(folder)


def _prune(folder: int, depth: int) -> None:
    """Remove empty folders that are not part of every tree."""
    for name in os.listdir(folder):
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            below = os.open(name, _FOLDER, dir_fd=folder)
            try:
                _prune(below, depth + 1)
            finally:
                os.close(below)
            if depth or name not in FOLDERS:
                with suppress(OSError):  # it holds something
                    os.rmdir(name, dir_fd=folder)
