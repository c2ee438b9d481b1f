"""How long a retry waits."""

from __future__ import annotations

import pytest

from tests.support.simulated import task
from zf.run.schedule.retry import wait_s


@pytest.mark.parametrize(
    ("delay_s", "most_s", "retry", "upper"),
    [(10, 300, 1, 10), (10, 300, 2, 20), (10, 300, 5, 160), (10, 300, 6, 300), (0, 300, 9, 0)],
)
def test_doubled_each_time_and_capped(delay_s, most_s, retry, upper):
    waiting = task("a", retry_delay_s=delay_s, retry_max_delay_s=most_s)
    waits = {wait_s(waiting, retry, f"run {n}") for n in range(300)}
    assert all(0.9 * upper <= wait <= upper for wait in waits)
    # Over the whole tenth, and seldom two alike.
    assert min(waits) <= 0.91 * upper
    assert max(waits) >= 0.99 * upper
    assert len(waits) == 1 if upper == 0 else len(waits) > 200


def test_the_same_run_task_and_retry_wait_the_same():
    waiting = task("a", retry_delay_s=10)
    assert wait_s(waiting, 1, "r") == wait_s(waiting, 1, "r")
    assert wait_s(waiting, 1, "r") != wait_s(task("b", retry_delay_s=10), 1, "r")


def test_the_thousandth_retry_is_no_overflow():
    assert 270 <= wait_s(task("a", retry_delay_s=1), 1_000_000, "r") <= 300
