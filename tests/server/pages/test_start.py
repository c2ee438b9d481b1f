"""The page a run is started from, where its plan is too large to be read."""

import re

import pytest

from tests.support.program import Project
from tests.support.served import Server

pytestmark = pytest.mark.xdist_group("start")


def test_a_plan_says_how_many_names_it_leaves_out(tmp_path):
    project = Project(tmp_path / "project")
    wide = "".join(f"  wide-{n}: {{phase: A, run: 'true'}}\n" for n in range(70))
    deep = "  deep-0: {phase: A, needs: [wide-0], run: 'true'}\n" + "".join(
        f"  deep-{n}: {{phase: A, needs: [deep-{n - 1}], run: 'true'}}\n" for n in range(1, 30)
    )
    (project.root / "zf.yaml").write_text(f"tasks:\n{wide}{deep}")
    with Server(project) as server:
        page = server.call("GET", "/start?phase=A", role="viewer").body.decode()
    project.end_all()
    plan = re.search(r'<ol class="levels">.*?</section>', page, re.DOTALL)
    assert plan
    text = re.sub(r"<[^>]+>", "", plan[0])
    assert "and 58 more" in text
    assert "and 11 more steps" in text
    assert plan[0].partition("</ol>")[0].count("/tasks/wide-") == 12
