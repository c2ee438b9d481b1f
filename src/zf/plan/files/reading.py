"""Every file of a project, read in one order: zf.yaml, the files of several tasks, what these
include, and then the folders of single tasks, one at a time, so that none is kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from zf.errors import Problem, ZfError
from zf.lean.records import Struct, field
from zf.plan import places
from zf.plan.files import forms, misplaced, written
from zf.plan.files.place import Loc, Place
from zf.plan.files.written import Written
from zf.plan.places import NEAR_PROJECT_FILES, PROJECT_FILE, TASK_FILE
from zf.plan.suggest import nearest

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from yaml.nodes import Node

    from zf.plan.form import Form


class TaskSaid(Struct):
    """What one place says of one task, good or bad: `said` is its value there, and `name` what the
    place calls it. `title` is what messages call the mapping.
    """

    place: Place
    name: str
    line: int
    said: Any
    node: Node | None
    written: Written
    problems: list[Problem]
    title: str = "task file"


class SharedFile(Struct):
    """A file that may hold several tasks, templates, and defaults for its tasks. `errors` are what
    its form has against it, by the task, template or key that they are about.
    """

    written: Written
    errors: Mapping[Loc, list[Problem]]

    def part(self, *loc: str) -> tuple[Place, Any, Node] | None:
        """What stands there, if anything does that its form has nothing against."""
        value = self.written.value
        for key in loc:
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, dict) or loc in self.errors:
            return None
        place = Place(self.written.path, self.written.file, loc)
        return place, value, self.written.document.node_at(loc)

    def tasks(self) -> Iterator[TaskSaid]:
        """The tasks it holds."""
        written = self.written
        if not (listed := written.mapping("tasks")):
            return
        pairs = reversed(written.document.node_at(("tasks",)).value)
        # Of a key that is given twice, the first is read.
        for name, (key, node) in reversed({k.value: (k, v) for k, v in pairs}.items()):
            if name in listed:
                place = Place(written.path, written.file, ("tasks", name))
                line, problems = key.start_mark.line + 1, self.errors.get(("tasks", name), [])
                said = listed[name]
                yield TaskSaid(place, name, line, said, node, written, problems, f"task '{name}'")


class Project(Struct):
    """The shared files of a project, and what is wrong with them beside their tasks. `said` is what
    zf.yaml, the `file`, says of the project itself, if it is good.
    """

    root: str
    file: Written | None = None
    said: Mapping[str, Any] = field(default_factory=dict)
    files: list[SharedFile] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    # Entries of the folder of tasks.
    entries: list[os.DirEntry[str]] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """The folder of tasks, relative to the root."""
        return os.path.relpath(places.tasks_folder(self.root), self.root)


def read(root: str) -> Project:
    """All but the files of single tasks, which `single_tasks` reads one at a time."""
    project = Project(root)
    _read_project_file(project)
    _list_tasks(project)
    for entry in project.entries:
        if entry.name.endswith((".yaml", ".yml")) and not _may_be_folder(entry):
            _read_loose(project, entry.name)
    from zf.plan.files.including import include  # noqa: PLC0415 - few projects do

    if any("include" in file.written.value for file in project.files):
        include(project)
    project.problems += misplaced.passed_over(root)
    return project


def _read_project_file(project: Project) -> None:
    root = project.root
    found = written.read(os.path.join(root, PROJECT_FILE), PROJECT_FILE)
    if found is None:
        near = next((n for n in NEAR_PROJECT_FILES if os.path.lexists(f"{root}/{n}")), None)
        if near is not None:
            project.problems.append(misplaced.misnamed(near, PROJECT_FILE, "project"))
        return
    project.file = found
    value = found.value
    shares = isinstance(value, dict) and any(key in value for key in forms.FILE_KEYS)
    # An empty project file is silent about everything.
    file = checked(found, forms.project_form(whole=shares)) if found.root is not None else None
    project.problems += found.problems
    if file is not None and shares:
        project.files.append(file)
    if file is not None and not found.problems and isinstance(value, dict):
        project.said = {key: said for key, said in value.items() if key not in forms.FILE_KEYS}


def checked(found: Written, form: Form) -> SharedFile:
    """The file with what its form has against it: problems of the file, but those of its tasks."""
    errors: dict[Loc, list[ErrorDetails]] = {}
    for error in form.errors(found.value):
        errors.setdefault(_part_of(error["loc"]), []).append(error)
    problems = {loc: found.explained(form, of_part) for loc, of_part in errors.items()}
    for loc, of_part in problems.items():
        if loc[:1] != ("tasks",) or len(loc) == 1:
            found.problems += of_part
    return SharedFile(found, problems)


def _part_of(loc: Loc) -> Loc:
    """The task, template or key that a place in a file is of."""
    return loc[:2] if loc[:1] in {("tasks",), ("templates",)} else loc[:1]


def _list_tasks(project: Project) -> None:
    folder = places.tasks_folder(project.root)
    try:
        project.entries = sorted(
            (entry for entry in os.scandir(folder) if entry.name[0] != "."),
            key=lambda entry: entry.name,
        )
    except FileNotFoundError:
        if project.files or project.problems:  # zf.yaml may hold all there is
            return
        project.problems.append(_unlisted(project.shown, os.strerror(2)))
    except OSError as error:
        project.problems.append(_unlisted(project.shown, os.strerror(error.errno or 0)))


def _unlisted(file: str, why: str) -> Problem:
    return Problem(code="ZF201", message=f"cannot be read: {why}", file=file)


def _may_be_folder(entry: os.DirEntry[str]) -> bool:
    """Whether to look inside; a link that leads nowhere is looked into so that it is reported."""
    try:
        return entry.is_dir() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:
        return True


def _read_loose(project: Project, name: str) -> None:
    """A file among the folders of tasks: of several tasks, if it says anything of tasks."""
    file = f"{project.shown}/{name}"
    found = written.read(f"{places.tasks_folder(project.root)}/{name}", file)
    if found is None:
        return
    value = found.value
    if found.source is not None and (not isinstance(value, dict) or not _of_tasks(value)):
        if value is None and found.problems and places.speaks_of_tasks(found.path):
            project.problems += found.problems
        else:
            project.problems.append(misplaced.loose(file))
    elif name.endswith(".yml"):
        project.problems.append(misplaced.misnamed(file, f"{name[:-4]}.yaml", "shared task"))
    else:
        add(project, found)


def _of_tasks(keys: Iterable[str]) -> bool:
    return any(key in forms.FILE_KEYS or nearest(key, forms.FILE_KEYS) == "tasks" for key in keys)


def add(project: Project, found: Written) -> None:
    """Take a file of several tasks in."""
    if found.root is not None:
        file = checked(found, forms.file_form())
        if isinstance(found.value, dict):
            project.files.append(file)
    project.problems += found.problems


def single_tasks(project: Project) -> Iterator[TaskSaid | Problem]:
    """The tasks which have a folder, one after the other, and what is wrong with the folders."""
    if not project.entries:
        return
    tasks, shown = places.tasks_folder(project.root), project.shown
    try:
        opened = os.open(tasks, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        yield _unlisted(shown, os.strerror(error.errno or 0))
        return
    try:
        for entry in project.entries:
            name = entry.name
            if not _may_be_folder(entry):
                continue
            folder = f"{tasks}/{name}"
            found = written.read(f"{folder}/{TASK_FILE}", f"{shown}/{name}/{TASK_FILE}")
            if found is None:
                yield from misplaced.without_task_file(folder, f"{shown}/{name}")
                continue
            yield _single(name, found)
            if places.has_folders(opened, name):
                yield from misplaced.inside_task(folder, f"{shown}/{name}")
    finally:
        os.close(opened)


def _single(name: str, found: Written) -> TaskSaid:
    root, value = found.root, found.value
    line = 1
    if root is not None:
        form = forms.task_form()
        if errors := form.errors(value):
            found.problems += found.explained(form, errors)
        if isinstance(value, dict) and value:
            line = _line_of_id(root)
    elif not found.problems:
        found.problems.append(_empty(found.file))
    place = Place(found.path, found.file)
    return TaskSaid(place, name, line, value, root, found, found.problems)


def _line_of_id(root: Node) -> int:
    """The line that stands for a task file: that of its id, or the first that says something."""
    for key, value in root.value:
        if key.value == "id":
            found: int = value.start_mark.line + 1
            return found
    first: int = root.start_mark.line + 1
    return first


def _empty(file: str) -> Problem:
    return Problem(
        code="ZF223",
        message="the task file is empty",
        file=file,
        hint="write at least `run`, or `commands`",
    )


def task_at(text: str) -> tuple[str, str]:
    """The root and the id of the task whose folder or file this path is.

    Raises ZfError (exit 2) when its project has no such task, or several in that file.
    """
    path = os.path.realpath(text)
    if os.path.isdir(path):
        path = f"{path}/{TASK_FILE}"
    folder, name = os.path.split(path)
    if not os.path.isfile(path):
        raise ZfError(f"{text} is not a task file", hint="name an existing tasks/<id>/task.yaml")
    root, _ = places.find_root(folder)
    tasks = places.tasks_folder(root)
    if name == TASK_FILE and os.path.dirname(folder) == os.path.realpath(tasks):
        return root, os.path.basename(folder)
    ids = ids_in(root, path)
    if not ids:
        raise ZfError(
            f"{text} is not a task file of the project {root}",
            hint=f"its task files are {tasks}/<id>/task.yaml, {tasks}/NAME.yaml and {PROJECT_FILE}",
        )
    if len(ids) > 1:
        raise ZfError(
            f"{text} has {len(ids)} tasks", hint=f"name one of them by its id: {', '.join(ids)}"
        )
    return root, ids[0]


def ids_in(root: str, path: str) -> list[str]:
    """The ids of the tasks that a file of several tasks holds; none if the project has no such
    file. `path` is a real path.
    """
    return [
        task.name
        for file in read(root).files
        if os.path.realpath(file.written.path) == path
        for task in file.tasks()
    ]
