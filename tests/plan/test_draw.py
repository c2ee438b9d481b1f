"""Pictures of a plan, whole: text, Mermaid and DOT, with names that try to break out of them."""

import shutil
import subprocess

import pytest

from zf.model import Flow, Need, Phase, Project, Step, Task
from zf.plan import draw
from zf.plan.graph import Met, plan_phases, plan_task

HOSTILE = 'say "hi" <b>#1;\\n`x`\x1b[31m\n]]'


def task(name: str, *needs: str, phase: str = "A", title: str = "", safe: bool = True) -> Task:
    return Task(
        name,
        phase,
        (Step("s", "true"),),
        title=title or name,
        needs=tuple(Need(need) for need in needs),
        parallel_safe=safe,
    )


FLOW = Flow(
    "/p",
    "/p",
    {
        found.id: found
        for found in (
            task("10-build", title="Build it"),
            task("11-lint"),
            task("20-test", "10-build", safe=False),
            task("30-deploy", "20-test", "11-lint", phase="B", title=HOSTILE),
        )
    },
    Project(phases={"A": Phase("Build and test", 90.5)}),
)
BOTH = plan_phases(FLOW, ["A", "B"], phase_timeout_s=3600.0)
HALF = plan_phases(
    FLOW, ["B"], phase_timeout_s=5, upstream={"20-test": Met("r1"), "11-lint": Met("r1")}
)


def test_text():
    assert draw.text(BOTH) == (
        "Phase A - Build and test (3 tasks, at most 90.5 s)\n"
        "  level 0: 2 may run side by side\n"
        "    10-build  Build it\n"
        "    11-lint\n"
        "  level 1:\n"
        "    20-test   needs 10-build; alone\n"
        "  1 of 3 tasks runs alone: nothing else runs meanwhile, as parallel_safe is false\n"
        "Phase B (1 task, at most 3600 s)\n"
        "  level 2:\n"
        '    30-deploy  say "hi" <b>#1;\\n`x`\\x1b[31m\\n]]; needs 20-test, 11-lint'
    )


def test_text_names_the_run_that_met_a_need():
    assert draw.text(HALF).endswith("needs 20-test (run r1), 11-lint (run r1)")


def test_text_of_one_task_alone():
    alone = plan_task(FLOW, "20-test", with_needs=False, phase_timeout_s=60)
    assert draw.text(alone) == (
        "Phase A - Build and test (1 task, at most 90.5 s)\n"
        "  level 0:\n"
        "    20-test  needs, not checked: 10-build; alone\n"
        "  1 of 1 task runs alone: nothing else runs meanwhile, as parallel_safe is false"
    )


def test_one_task_alone_has_no_arrows():
    alone = plan_task(FLOW, "20-test", with_needs=False, phase_timeout_s=60)
    assert "--" not in draw.mermaid(alone)
    assert "->" not in draw.dot(alone)


def test_mermaid():
    assert draw.mermaid(BOTH) == (
        "flowchart LR\n"
        '  subgraph p0["A: Build and test"]\n'
        '    t0["10-build<br/>Build it"]\n'
        '    t1["11-lint"]\n'
        '    t2[["20-test"]]\n'
        "  end\n"
        '  subgraph p1["B"]\n'
        '    t3["30-deploy<br/>say #34;hi#34; #60;b#62;#35;1;#92;n#96;x#96;#92;x1b[31m#92;n]]"]\n'
        "  end\n"
        "  t0 --> t2\n"
        "  t2 --> t3\n"
        "  t1 --> t3"
    )


def test_mermaid_shows_needs_that_another_run_met():
    assert draw.mermaid(HALF).splitlines()[-4:] == [
        '  t1(["11-lint (run r1)"])',
        '  t2(["20-test (run r1)"])',
        "  t2 --> t0",
        "  t1 --> t0",
    ]


def test_dot():
    assert draw.dot(BOTH) == (
        "digraph zf {\n"
        "  rankdir=LR;\n"
        "  node [shape=box];\n"
        "  subgraph cluster_0 {\n"
        '    label="A: Build and test";\n'
        '    "10-build" [label="10-build\\nBuild it"];\n'
        '    "11-lint" [label="11-lint"];\n'
        '    "20-test" [label="20-test", peripheries=2];\n'
        "  }\n"
        "  subgraph cluster_1 {\n"
        '    label="B";\n'
        '    "30-deploy" [label="30-deploy\\nsay \\"hi\\" <b>#1;\\\\n`x`\\\\x1b[31m\\\\n]]"];\n'
        "  }\n"
        '  "10-build" -> "20-test";\n'
        '  "20-test" -> "30-deploy";\n'
        '  "11-lint" -> "30-deploy";\n'
        "}"
    )


def test_dot_shows_needs_that_another_run_met():
    lines = draw.dot(HALF).splitlines()
    assert '  "20-test" [label="20-test (run r1)", style=rounded];' in lines
    assert '  "20-test" -> "30-deploy";' in lines


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs Graphviz")
@pytest.mark.parametrize("plan", [BOTH, HALF])
def test_graphviz_understands_it(plan):
    done = subprocess.run(
        ["dot", "-Tplain"], input=draw.dot(plan), check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
