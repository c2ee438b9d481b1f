"""What a killed run leaves open: cleared of what its journal does not name, before it is finished
or sealed as it is.

With the runner its memory is gone, and anything may have been written into the run's folder since.
The journal is believed as far as its chain holds; an outcome that it does not name does not count.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from contextlib import suppress

from zf.events import AttemptEnded, AttemptStarted, Event, ServiceEnded, ServiceStarted, TaskNotRun
from zf.proof import layout
from zf.proof.files import FOLDER, is_folder, opened, remove
from zf.proof.tree.contents import hash_tree


def drop_unfinished(run_dir: str) -> None:
    """Remove the files that were being written when the runner died."""
    with opened(run_dir) as folder:
        for name in os.listdir(folder):
            is_answer = name.startswith(layout.ANSWER)
            if name.startswith(".") and name.endswith(layout.UNFINISHED) and not is_answer:
                remove(folder, name)


def drop_answers(run_dir: str) -> None:
    """Remove the answers to approvals that wait for a runner: what it has read is in the journal,
    and to one that is to come no question is put any more.
    """
    with opened(run_dir) as folder:
        for name in os.listdir(folder):
            if name.startswith(layout.ANSWER):
                remove(folder, name)


def drop_unnamed(run_dir: str, planned: Collection[str], events: Iterable[Event]) -> None:
    """Remove the trees of planned tasks that the journal knows nothing of, and a blocked.json that
    it does not name: the run had not ended.
    """
    named = {e.task for e in events if isinstance(e, AttemptStarted | AttemptEnded | TaskNotRun)}
    logs = {e.log for e in events if isinstance(e, ServiceEnded)}
    with opened(run_dir) as folder:
        for name in os.listdir(folder):
            is_loose = layout.is_phase_log(name) and name not in logs
            if name == layout.BLOCKED or is_loose or (name in planned and name not in named):
                remove(folder, name)


def clear_open(run_dir: str, events: Collection[Event]) -> None:
    """Make the trees of attempts that had not ended fit to be sealed as they are: without the lists
    and outcomes that their workers never reported, and without what no proof can hold.
    """
    open_tasks: dict[str, None] = {}
    for event in events:
        if isinstance(event, AttemptStarted):
            open_tasks[event.task] = None
        elif isinstance(event, AttemptEnded):
            open_tasks.pop(event.task, None)
    going = {layout.phase_log(e.phase, e.name) for e in events if isinstance(e, ServiceStarted)}
    logs = going | {e.log for e in events if isinstance(e, ServiceEnded)}
    with opened(run_dir) as folder:
        for task in open_tasks:
            _clear(folder, task)
        for name in os.listdir(folder):
            if layout.is_phase_log(name) and name not in logs:
                remove(folder, name)


def _clear(run: int, task: str) -> None:
    try:
        if not is_folder(run, task):
            remove(run, task)
            return
    except FileNotFoundError:
        return
    with opened(task, FOLDER, run) as tree:
        for name in os.listdir(tree):
            if name not in {*layout.FOLDERS, *layout.LOOSE, layout.ATTEMPTS}:
                remove(tree, name)
        for name in (layout.SUMMARY, layout.CHECKSUMS):
            _empty(tree, name)
        for _ in hash_tree(tree):
            pass  # which removes what no list can name
        _prune(tree, 0)


def _empty(tree: int, name: str) -> None:
    """Remove all from one of its folders but the list of the attempts before."""
    with suppress(FileNotFoundError, NotADirectoryError), opened(name, FOLDER, tree) as folder:
        for one in os.listdir(folder):
            if f"{name}/{one}" != layout.ATTEMPTS_LIST:
                remove(folder, one)


def _prune(folder: int, depth: int) -> None:
    """Remove empty folders that are not part of every tree."""
    for name in os.listdir(folder):
        if is_folder(folder, name):
            with opened(name, FOLDER, folder) as below:
                _prune(below, depth + 1)
            if depth or name not in layout.FOLDERS:
                with suppress(OSError):  # it holds something
                    os.rmdir(name, dir_fd=folder)
