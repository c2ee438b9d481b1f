"""The task files of other tools -> a zf.yaml that loads, and IMPORT.md: nothing is executed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress

from zf.adopt.importers import github, gitlab, just, make, npm, report, taskfile, tox, writer
from zf.adopt.importers.model import Import, Origin
from zf.adopt.importers.outside import usual
from zf.adopt.importers.reading import file_in
from zf.errors import ZfError, printable
from zf.lean.records import Struct, replace
from zf.plan.places import PROJECT_FILE, claims

REPORT_FILE = "IMPORT.md"


class Importer(Struct, frozen=True):
    """A tool whose files can be imported: what reads one, how it may be called, what it is."""

    read: Callable[[Origin], Import]
    names: tuple[str, ...]
    about: str
    # The file that is meant by a path, where that is more than one of `names` in a folder.
    file_of: Callable[[str], str] | None = None


IMPORTERS: Mapping[str, Importer] = {
    "github": Importer(github.read, (), "a workflow of GitHub Actions", github.file_of),
    "gitlab": Importer(gitlab.read, gitlab.NAMES, "a pipeline of GitLab"),
    "just": Importer(just.read, just.NAMES, "a justfile"),
    "make": Importer(make.read, make.NAMES, "a makefile"),
    "npm": Importer(npm.read, npm.NAMES, "the scripts of a package.json"),
    "taskfile": Importer(taskfile.read, taskfile.NAMES, "a Taskfile of go-task"),
    "tox": Importer(tox.read, tox.NAMES, "the environments of tox"),
}


class Written(Struct, frozen=True):
    """What an import came to: the texts of the two files, all that they were made of, and the
    folder that has them.
    """

    project: str
    report: str
    source: Import
    folder: str = ""

    @property
    def project_path(self) -> str:
        """The path of zf.yaml."""
        return f"{self.folder}/{PROJECT_FILE}"

    @property
    def report_path(self) -> str:
        """The path of IMPORT.md."""
        return f"{self.folder}/{REPORT_FILE}"


def write(tool: str, path: str, folder: str | None, *, evaluate: bool = False) -> Written:
    """Import a file, or the file of that tool in a folder, into `folder`; without one, into the
    folder that the file is about. Both files are written or none. Raises ZfError.
    """
    importer = IMPORTERS[tool]
    find = importer.file_of
    source_file = find(path) if find else file_in(path, importer.names, tool)
    if not os.path.lexists(source_file):
        shown = printable(source_file)
        raise ZfError(f"there is no file {shown}", code="ZF680", hint="name a file that exists")
    home = _home(os.path.dirname(os.path.abspath(source_file)))
    target = os.path.abspath(folder) if folder is not None else home
    _refuse_what_is_there(target)
    below = os.path.relpath(home, target)
    is_inside = below.split(os.sep)[0] != ".."
    file = os.path.relpath(source_file, target if is_inside else home)
    workdir = below if is_inside and below != "." else ""
    origin = Origin(source_file, printable(file), workdir, evaluate, _around(home))
    source = importer.read(origin)
    source.workdir = source.workdir or origin.workdir
    written = texts(source)
    _both(target, {PROJECT_FILE: written.project, REPORT_FILE: written.report})
    return replace(written, folder=target)


def _home(folder: str) -> str:
    """The project of a file in this folder: workflows are below it."""
    above, inside, _ = f"{folder}/".rpartition("/.github/workflows/")
    return above or "/" if inside else folder


def _around(home: str) -> str:
    """The project that this folder is of: its git repository, if it is in one."""
    home = folder = os.path.realpath(home)
    while not os.path.lexists(f"{folder}/.git"):
        above = os.path.dirname(folder)
        if above == folder:
            return home
        folder = above
    return folder


def texts(source: Import) -> Written:
    """The texts of both files. Raises ZfError for what zf cannot have as a project."""
    if not source.jobs:
        raise ZfError(f"{source.file} has nothing to run", code="ZF680", hint="name another file")
    usual(source)
    text = writer.text_of(source)
    return Written(text, report.text_of(source), source)


def _refuse_what_is_there(folder: str) -> None:
    for name in (PROJECT_FILE, REPORT_FILE):
        path = f"{folder}/{name}"
        if os.path.lexists(path):
            raise ZfError(
                f"{printable(os.path.relpath(path))} is there, and is not overwritten",
                code="ZF681",
                hint="name another folder with -o, or move it away",
            )
    tasks = f"{folder}/tasks"
    with suppress(OSError):
        if claims(tasks, os.listdir(tasks)):
            raise ZfError(
                f"{printable(os.path.relpath(folder))} is a project of zf already",
                code="ZF681",
                hint="name another folder with -o, and move the tasks over",
            )


def _both(folder: str, texts: Mapping[str, str]) -> None:
    """Write the files, all or none; what has come to be there meanwhile is not overwritten."""
    try:
        made = _missing(folder)
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None
    done: list[str] = []
    try:
        for name, text in texts.items():
            path = f"{folder}/{name}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o666)
            done.append(path)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
    except BaseException as error:
        for path in done:
            os.unlink(path)
        for one in made:
            with suppress(OSError):
                os.rmdir(one)
        if isinstance(error, OSError):
            raise _unwritable(f"{folder}/{name}", error) from None
        raise


def _missing(folder: str) -> list[str]:
    """The folders that have to be made for this one, the innermost first."""
    found = []
    while not os.path.lexists(folder):
        found.append(folder)
        folder = os.path.dirname(folder)
    return found


def _unwritable(path: str, error: OSError) -> ZfError:
    return ZfError(
        f"cannot write {printable(os.path.relpath(path))}: {error.strerror}",
        code="ZF682",
        hint="name another folder with -o",
    )
