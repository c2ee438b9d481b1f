"""The compiled half of pydantic's core, alone: the same one that everybody else gets."""

import subprocess
import sys

import pytest

ALONE = "import sys; import zf.lean.validators as v; assert 'pydantic_core' not in sys.modules;"
SEARCH = "assert v.SchemaValidator({'type': 'str', 'pattern': 'b'}).isinstance_python('abc');"
# What a later pydantic might be to us, who look first: without a compiled half.
ELSEWHERE = """\
from importlib.machinery import PathFinder
find = PathFinder.find_spec
def once(name, *where):
    if name == "pydantic_core._pydantic_core":
        PathFinder.find_spec = find
        return None
    return find(name, *where)
PathFinder.find_spec = once
import sys
import zf.lean.validators as v
assert "pydantic_core" in sys.modules
"""


@pytest.mark.parametrize(
    "program",
    [
        ALONE + SEARCH,
        ALONE
        + "import pydantic_core as p; assert p.SchemaValidator is v.SchemaValidator;"
        + SEARCH,
        ALONE + "import pydantic; assert pydantic.ValidationError is v.ValidationError",
        "import pydantic_core as p; import zf.lean.validators as v;"
        "assert p.SchemaValidator is v.SchemaValidator;" + SEARCH,
        ELSEWHERE + SEARCH,
    ],
    ids=["alone", "then the package", "then all of pydantic", "after the package", "moved"],
)
def test_there_is_one_of_it(program):
    subprocess.run([sys.executable, "-c", program], check=True)
