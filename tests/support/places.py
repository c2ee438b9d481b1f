"""What a proof says beside where and when it was made: equal wherever a task ran."""

import json
import re

# What docs/reference/executors.md says differs by the place, beside times and what they measure.
PLACE = {"hostname", "user", "pwd", "executor", "containment", "shield", "measures", "isolation"}
TIMES = {"started_at", "completed_at", "duration_s", "run_id"}
PATHS = re.compile(
    r"^export (PROOF_DIR|ARTIFACTS_DIR|NEEDS_DIR|TASK_DIR|ZENFLOW_ROOT|RUN_ID|COMPOSE_PROJECT_NAME)="
    r".*\n",
    re.MULTILINE,
)


def without_place(path):
    if path.name == "env.sh":
        return PATHS.sub("", path.read_text())
    if path.suffix != ".json":
        return path.read_bytes()
    said = json.loads(path.read_bytes())
    if not isinstance(said, dict):
        return said
    return {key: value for key, value in said.items() if key not in PLACE | TIMES}


def tree(project, name, task):
    """What each file of a task's proof says, by its path."""
    folder = project.proof(name, task)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(folder)): without_place(path)
        for path in files
        if path.suffix != ".sha256" or path.name == "artifacts.sha256"
    }
