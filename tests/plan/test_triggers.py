"""What is wrong with schedules, webhooks and reconciliation, each at its place."""

from __future__ import annotations

import pytest

from zf.plan.load import load

TASKS = """\
tasks: {build: {phase: E, run: make}}
inputs: {commit: {}}
phases: {E: {protected: true}}
"""


def problems(tmp_path, text: str) -> list[str]:
    (tmp_path / "zf.yaml").write_text(TASKS + text)
    found = load(str(tmp_path), str(tmp_path), default_phase_timeout_s=60)
    return [f"{p.line}:{p.column} {p.code} {p.message}" for p in found.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('schedules: {n: {cron: "0 2 * * *", tz: Europe/Berlin, phases: [E]}}', []),
        ("reconcile: {n: {git_ref: main, tasks: [build], input: commit}}", []),
        (
            (
                'webhooks: {n: {verify: github, secret_env: S, phases: [E], if: "payload.a.b == 1",'
                " inputs: {commit: {from: payload.after}}}}"
            ),
            [],
        ),
        (
            'schedules: {n: {cron: "0 2 * * * *", phases: [E]}}',
            ["4:23 ZF832 'n' is never due: it takes five fields"],
        ),
        (
            'schedules: {n: {cron: "61 2 * * *", phases: [E]}}',
            ["4:23 ZF832 'n' is never due: bad minute"],
        ),
        (
            'schedules: {n: {cron: "0 0 31 2 *", phases: [E]}}',
            ["4:23 ZF832 'n' is never due: bad day-of-month"],
        ),
        (
            'schedules: {n: {cron: "0 2 * * *", tz: Berlin, phases: [E]}}',
            ["4:40 ZF833 'n' has an unknown time zone"],
        ),
        (
            'schedules: {n: {cron: "0 2 * * *", phases: [F]}}',
            ["4:45 ZF834 'n' runs an unknown phase 'F'"],
        ),
        (
            'schedules: {n: {cron: "0 2 * * *", tasks: [built]}}',
            ["4:44 ZF834 'n' runs an unknown task 'built'"],
        ),
        (
            'schedules: {n: {cron: "0 2 * * *"}}',
            ["4:13 ZF835 'n' takes one of `phases` and `tasks`"],
        ),
        (
            'schedules: {n: {cron: "0 2 * * *", phases: [E], inputs: {comit: a}}}',
            ["4:58 ZF836 'n' gives an unknown input 'comit'"],
        ),
        (
            'schedules: {n: {cron: "0 2 * * *", phases: [E], on_newer: cancel_running}}',
            ["4:59 ZF837 'n' would end runs of phase 'E', which is protected"],
        ),
        (
            'schedules: {n: {cron: "0 2 * * *", phases: [E], key: k, for_sec: 6}}',
            ["4:57 ZF837 'n' has one of `scope: for_sec` and `for_sec`"],
        ),
        (
            'schedules: {n: {cron: "0 2 * * *", phases: [E], limit: 2}}',
            ["4:49 ZF837 'n' has a limit, but no `group`"],
        ),
        (
            "reconcile: {n: {phases: [E]}}",
            ["4:13 ZF837 'n' takes one of `command` and `git_ref`"],
        ),
        (
            'webhooks: {n: {verify: github, secret_env: S, phases: [E], if: "run.branch == ${A}"}}',
            ["4:64 ZF838 'n' asks a delivery for '${A}'"],
        ),
        (
            'webhooks: {n: {verify: github, secret_env: S, phases: [E], if: "input.a == 1"}}',
            ["4:64 ZF838 'n' asks a delivery for 'input.a'"],
        ),
        (
            (
                "webhooks: {n: {verify: github, secret_env: S, phases: [E],"
                " inputs: {commit: {from: after}}}}"
            ),
            ["4:84 ZF838 'n' takes 'commit' from no part of a delivery"],
        ),
    ],
)
def test_problems_stand_where_they_are(tmp_path, text, expected):
    assert problems(tmp_path, text) == expected


def test_a_condition_of_a_task_has_no_delivery_to_ask(tmp_path):
    text = "tasks: {build: {run: make, condition: \"payload.a == 'b'\"}}\n"
    (tmp_path / "zf.yaml").write_text(text)
    found = load(str(tmp_path), str(tmp_path), default_phase_timeout_s=60)
    assert [problem.code for problem in found.problems] == ["ZF260"]
