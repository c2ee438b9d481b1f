"""The watch itself: it waits for changes, for keys and for what its cycles do, and begins cycles.

While task files are invalid nothing is begun; what runs goes on. Whatever becomes of a cycle, the
watch goes on until it is told to end, or the project is gone.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing

from zf.errors import Exit, ZfError
from zf.model import Flow, Loaded, Task
from zf.run.host.interrupts import Inbox, listening
from zf.watch import scope
from zf.watch.agenda import Agenda, members
from zf.watch.cycles import Cycles
from zf.watch.debounce import Debounce
from zf.watch.files import Files
from zf.watch.given import Project, Screen, Terms
from zf.watch.notices import Notices
from zf.watch.shell import Shell

# A burst of so many events may be one of which the system dropped some.
_STORM = 500
# Later than this no event is told of, however busy the machine; what says it was written before
# was moved there.
_MOST_LATE_S = 10.0
_ALL, _FAILED, _SHELL, _QUIT = "all", "failed", "shell", "quit"


class Watch:
    """One watch, until it is told to end."""

    def __init__(self, project: Project, screen: Screen, terms: Terms) -> None:
        """Raises ZfError (exit 2) when task files are invalid, or folders cannot be watched."""
        self._project = project
        self._screen = screen
        self._terms = terms
        loaded = project.load()
        if loaded.flow is None:
            count = sum(problem.severity == "error" for problem in loaded.problems)
            raise ZfError(f"{count} errors in the task files", problems=loaded.problems)
        screen.problems(loaded.problems)
        self._flow: Flow = loaded.flow
        self._tasks: Mapping[str, Task] = project.watched(self._flow)
        self._scope = scope.Scope(self._flow, self._tasks)
        self._agenda = Agenda(members(self._tasks))
        self._cycles = Cycles(self._agenda, self._flow.proofs, project, screen, terms)
        self._cycles.max_jobs = project.max_jobs(self._flow)
        self._files = Files(
            self._flow.root, self._flow.proofs, os.environ, scope.starts(self._flow.tasks)
        )
        self._debounce = Debounce(terms.quiet_s)
        # The places that events named since a burst was over, and what changed of that.
        self._told: set[str] = set()
        self._changed: set[str] = set()
        self._is_broken = False
        # What has the terminal: until it is left, nothing is done; `Notices` keep what changes.
        self._shell: Shell | None = None
        self._exit_code: int | None = None
        self._is_told_waiting = False
        self._warn_of_links()

    def run(self) -> int:
        """Watch; the exit code."""
        with ExitStack() as opened:
            inbox = opened.enter_context(listening())
            notices = opened.enter_context(closing(Notices(polling=self._terms.polling)))
            opened.callback(self._cycles.abandon)
            opened.callback(self._leave_shell)
            notices.watch(self._files.folders)
            # What came between the first look and now is the first change.
            self._hear(self._files.look_at_all())
            if self._terms.at_once:
                self._agenda.everything()
                self._cycles.ask()
            while self._exit_code is None or self._cycles.under_way or self._shell is not None:
                if self._shell is not None:
                    self._attend(self._shell, inbox, notices)
                    continue
                if self._exit_code is None and not self._is_broken and self._is_quiet():
                    self._cycles.begin(time.monotonic())
                self._tell_waiting()
                self._wait(inbox, notices)
                self._obey(inbox)
                self._press()
                self._look(notices)
                self._cycles.follow()
                self._settle_changes(time.monotonic(), notices)
                self._screen.tick(time.monotonic())
                if self._screen.is_gone() and self._exit_code is None:
                    self._end(Exit.BROKEN_PIPE, signal.SIGTERM)
            return self._exit_code

    def _is_quiet(self) -> bool:
        return self._debounce.began is None

    # Waiting.

    def _wait(self, inbox: Inbox, notices: Notices) -> None:
        poll = select.poll()
        fds = [inbox.fileno(), notices.fileno(), self._screen.fileno()]
        for cycle in self._cycles.under_way.values():
            fds += [cycle.wake_fd, cycle.said_fd]
        for fd in fds:
            if fd is not None:
                poll.register(fd, select.POLLIN)
        poll.poll(self._patience_s(time.monotonic()) * 1000)

    def _patience_s(self, now: float) -> float:
        moments = [self._debounce.due_at(), self._cycles.rests_until]
        until = min((at for at in moments if at is not None), default=now + 3600)
        if self._cycles.under_way:
            until = min(until, now + self._screen.look_s)
        return max(0.0, until - now)

    # What was asked for.

    def _obey(self, inbox: Inbox) -> None:
        for news in inbox.read():
            if isinstance(news, int):
                if news == signal.SIGINT and self._shell is not None:
                    continue  # it was meant for that
                code = Exit.INTERRUPTED if news == signal.SIGINT else Exit.TERMINATED
                self._end(code, news)

    def _press(self) -> None:
        for wish in self._screen.pressed():
            if wish == _QUIT:
                self._end(Exit.OK, signal.SIGTERM)
            elif wish == _ALL:
                self._cycles.follow()
                self._cycles.ask()
                self._cycles.supersede(self._agenda.everything())
            elif wish == _FAILED:
                self._cycles.follow()
                self._is_told_waiting = False
                if self._agenda.unsuccessful():
                    self._cycles.ask()
                else:
                    self._screen.say("nothing failed")
            elif wish == _SHELL and self._exit_code is None:
                self._open_shell()
                if self._shell is not None:
                    break  # what was typed after it was meant for the shell

    def _open_shell(self) -> None:
        """Leave the terminal to a shell where the first task that failed has its steps."""
        failed = self._agenda.all_failed
        self._is_told_waiting = False
        if self._cycles.under_way:
            self._screen.say("a shell can be opened here once nothing runs")
        elif self._is_broken:
            self._screen.say("a shell can be opened here once the task files are mended")
        elif not failed:
            self._screen.say("nothing failed; zf shell TASK opens a shell for any task")
        else:
            self._screen.lend()
            try:
                self._shell = Shell(*self._project.words_of_shell(failed[0]))
            except OSError as error:
                self._screen.take_back()
                self._screen.say(f"no shell can be opened: {error.strerror}")

    def _attend(self, shell: Shell, inbox: Inbox, notices: Notices) -> None:
        """Wait for the end of the shell, or of the watch."""
        poll = select.poll()
        poll.register(inbox.fileno(), select.POLLIN)
        poll.register(shell.fd, select.POLLIN)
        poll.poll()
        self._obey(inbox)
        if shell.is_left():
            self._leave_shell()
            self._look(notices)  # before anything is begun

    def _leave_shell(self) -> None:
        """Take the terminal back from it, if one is open."""
        if self._shell is not None:
            self._shell.close()
            self._shell = None
            self._screen.take_back()

    def _end(self, code: int, number: int) -> None:
        """End in order what runs; once more, at once."""
        if self._exit_code is None:
            self._exit_code = code
        if self._shell is not None:
            self._shell.end()
        self._cycles.interrupt(number)

    # What changed.

    def _look(self, notices: Notices) -> None:
        told = notices.take()
        if not told:
            return
        self._told |= told
        changed, is_grown = self._files.look(told)
        self._hear(changed)
        if is_grown:
            self._look_at_all(notices)
        elif len(self._told) > _STORM and self._is_quiet():
            self._told.clear()
            self._look_at_all(notices)

    def _look_at_all(self, notices: Notices) -> None:
        """Look at everything; where folders have come, once more when they are watched."""
        folders = dict(self._files.folders)
        self._hear(self._files.look_at_all())
        while self._files.folders != folders:
            folders = dict(self._files.folders)
            notices.watch(folders)
            self._hear(self._files.look_at_all())

    def _hear(self, changed: set[str]) -> None:
        meant = {path for path in changed if not self._scope.is_made(path)}
        if meant:
            self._changed |= meant
            self._debounce.heard(time.monotonic())

    def _settle_changes(self, now: float, notices: Notices) -> None:
        """Once a burst is over: what it concerns is due."""
        began = self._debounce.began
        if began is None or not self._debounce.is_over(now):
            return
        if len(self._told) > _STORM:
            self._told.clear()
            self._look_at_all(notices)
        self._told.clear()
        paths, self._changed = sorted(self._changed), set()
        # What has not begun by now reads the files as they are: how far tasks are is asked after.
        self._cycles.follow()
        plan = {path for path in paths if scope.is_plan(self._flow, path)}
        concerned = {path: self._scope.of(path, by_folder=path not in plan) for path in paths}
        names = {name for found in concerned.values() for name in found}
        meant = [path for path in paths if path in plan or concerned[path]]
        if plan or self._is_broken:
            self._reload(names, meant or paths)
        elif names:
            self._screen.changed(meant)
            self._cycles.supersede(self._agenda.changed(names))
        if meant:
            self._cycles.changed(meant, self._moment(meant, began))
            self._is_told_waiting = False

    def _moment(self, paths: Sequence[str], heard: float) -> float:
        """When the first of these files was written, on the monotonic clock, as far as they say."""
        offset = time.monotonic() - time.time()
        written = [self._files.written_at(path) for path in paths]
        found = [at + offset for at in written if at is not None]
        return min([heard, *(at for at in found if at > heard - _MOST_LATE_S)])

    def _reload(self, names: set[str], paths: Sequence[str]) -> None:
        loaded, tasks = self._loaded()
        was_broken, self._is_broken = self._is_broken, loaded.flow is None
        if loaded.flow is None:
            self._screen.changed(paths)
            self._screen.problems(loaded.problems)
            self._screen.say("nothing is begun until the task files are mended")
            self._cycles.supersede(self._agenda.changed(names))
            return
        before, self._flow, self._tasks = self._flow, loaded.flow, tasks
        self._scope = scope.Scope(self._flow, tasks)
        self._files.also(scope.starts(self._flow.tasks))
        self._cycles.max_jobs = self._project.max_jobs(self._flow)
        redefined = scope.redefined(before, self._flow, tasks)
        ended = self._agenda.renew(members(tasks), {*redefined, *(names & tasks.keys())})
        if ended or self._agenda.due or was_broken:
            self._screen.changed(paths)
        self._screen.problems(loaded.problems)
        self._cycles.supersede(ended)

    def _loaded(self) -> tuple[Loaded, Mapping[str, Task]]:
        """The task files as they are now, and those that are watched."""
        try:
            loaded = self._project.load()
            return loaded, {} if loaded.flow is None else self._project.watched(loaded.flow)
        except ZfError as error:
            return Loaded(None, error.problems), {}

    # What is told.

    def _tell_waiting(self) -> None:
        if self._cycles.under_way:
            self._is_told_waiting = False
        elif self._is_quiet() and self._cycles.rests_until is None and not self._is_told_waiting:
            self._is_told_waiting = True
            unsettled = len(self._agenda.unsettled)
            failed = 0 if self._is_broken else len(self._agenda.all_failed)
            self._screen.waiting(len(self._tasks), len(self._files), unsettled, failed)
            self._cycles.get_ready()

    def _warn_of_links(self) -> None:
        for link in scope.behind_links(self._files.links, self._tasks):
            self._screen.say(
                f"{link} is a link to a folder, which is not followed: name the folder itself in"
                " sources"
            )
