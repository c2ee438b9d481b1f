"""The other zf of a cycle of `zf watch`: it carries out one run, which the watcher shows.

What it says itself, on stderr, is why there is no run.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from zf.cli.begin import carry_out, chosen_of, settle
from zf.cli.display import progress
from zf.cli.exits import guarded
from zf.errors import Exit
from zf.model import Asked
from zf.options import WATCH
from zf.run.host import interrupts
from zf.run.host.beside import Beside
from zf.settings import RunOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zf.events import Event
    from zf.plan.graph import Met
    from zf.report.facts import Facts
    from zf.watch.cycle import Orders
    from zf.work.caching.beforehand import Verifying

# What a cycle needs that is not imported by now; each brings what it imports itself.
_AHEAD = (
    "zf.watch.cycle",
    "zf.plan.graph",
    "zf.run.launch",
    "zf.plan.load",
    "zf.run.schedule.scheduler",
    "zf.proof.source.early_look",
    "zf.run.upstream",
    "zf.audit.verify",
    "zf.work.caching.beforehand",
    "zf.work.walls.shield",
)
# How often it looks whether the watcher is there.
_LOOK_S = 0.5


class Telling(progress.Watcher):
    """Shows nothing: says on a pipe that something happened, and ends the run when the watcher is
    gone.
    """

    def __init__(self, options: RunOptions, proofs: str, orders: Orders) -> None:
        super().__init__(options, proofs)
        self.look_s = _LOOK_S
        self._orders = orders

    def watch(self, event: Event | None, _facts: Facts, _mono: float) -> None:
        """An event, or (with None) that time has passed."""
        if event is not None:
            with suppress(OSError):  # full: the watcher has enough to read as it is
                os.write(self._orders.wake_fd, b".")
        if os.getppid() != self._orders.parent:
            os.kill(os.getpid(), signal.SIGTERM)
            # Once is enough: a second one would end tasks without their grace.
            self._orders = self._orders.with_parent(os.getppid())


def main() -> None:
    """`python -m zf.cli.cycle`, with orders on stdin."""
    gc.disable()  # as `zf.__main__` does, and for the same reason
    interrupts.heed()
    _get_ready(sys.stdin.fileno())
    from zf.watch.cycle import Orders

    given = sys.stdin.buffer.read()
    if not given:  # the watch is over
        os._exit(Exit.OK)
    orders = Orders.unpacked(given)
    os.set_inheritable(orders.wake_fd, False)
    os.set_blocking(orders.wake_fd, False)
    sys.argv = [*orders.command]
    code = guarded(lambda: _carry_out(orders))
    sys.stderr.flush()
    os._exit(code)


def _get_ready(orders_fd: int) -> None:
    """Import what a run takes, as long as there are no orders."""
    orders = select.poll()
    orders.register(orders_fd, select.POLLIN)
    for name in _AHEAD:
        if orders.poll(0):
            return
        import_module(name)
    from zf.proof import forms

    forms.compile_ahead(lambda: bool(orders.poll(0)))


def _carry_out(orders: Orders) -> int:
    os.chdir(orders.folder)
    options = RunOptions(WATCH)
    options.values.update(orders.values)
    options.values.update(run_id=orders.run, quiet=True, output="quiet", progress="plain")
    # One of the cycles that did what is needed: mostly there is only one.
    with Beside(max(orders.upstream.values(), default="")) as beside:
        flow, settings = settle(options, Asked(phases=()), beside)
        from zf.plan import graph

        flow = chosen_of(flow, options)
        met = _met(flow.proofs, orders.upstream, beside.verifying)
        beside.verified()
        plan = graph.plan_selection(
            flow,
            orders.tasks,
            phase_timeout_s=settings.phase_timeout_s.value,
            phase_timeout_forced=settings.phase_timeout_s.given,
            upstream=met,
        )
        watcher = Telling(options, flow.proofs, orders)
        return carry_out(flow, plan, settings, options, beside, watcher=watcher)


def _met(proofs: str, upstream: Mapping[str, str], begun: Verifying | None) -> dict[str, Met]:
    """What earlier cycles did for needs, each verified, which may have `begun`."""
    from zf.run.upstream import from_run

    met: dict[str, Met] = {}
    for run in sorted({*upstream.values()}):
        needs = [need for need, by in upstream.items() if by == run]
        met |= from_run(proofs, run, needs, whole=False, begun=begun).met
    return met


if __name__ == "__main__":
    main()
