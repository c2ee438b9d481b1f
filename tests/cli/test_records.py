"""What `--json` says of a finished run, as the reference shows it."""

import json
import re
from pathlib import Path

from tests.support import proof_schemas
from zf.cli.display.records import RESULT_SCHEMA


def test_the_references_example_has_the_form_of_its_schema():
    page = Path(__file__).parents[2] / "docs" / "reference" / "output.md"
    (example,) = re.findall(r"```json\n(.*?)```", page.read_text(), re.DOTALL)
    proof_schemas.check(json.loads(example), "result")
    assert json.loads(example)["schema"] == RESULT_SCHEMA
