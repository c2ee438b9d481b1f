"""Globs of `sources` and `generates` that are plain names mean what gitignore says of them."""

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st
from pathspec import PathSpec

from zf.plan.caching.globs import matching

parts = st.sampled_from(["a", "b", "a.b", "ab", ".a", "#a", "a!", "ä", "a b", " a"])
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)
patterns = st.tuples(
    st.sampled_from(["", "!"]), st.sampled_from(["", "./"]), paths, st.sampled_from(["", "/"])
).map("".join)


@given(st.lists(patterns, min_size=1, max_size=4), st.lists(paths, min_size=1, max_size=8))
def test_plain_names_match_as_gitignore_has_it(globs, files):
    rooted = []
    for one in globs:
        sign, plain = ("!", one[1:]) if one[0] == "!" else ("", one)
        path = plain.removeprefix("./").rstrip("/")
        rooted += [f"{sign}/{path}", f"{sign}/{path}/**"]
    spec, found = PathSpec.from_lines("gitignore", rooted), matching(globs)
    assert [found.match_file(file) for file in files] == [spec.match_file(file) for file in files]


def test_plain_names_load_nothing_that_matches():
    script = (
        "import sys; from zf.plan.caching.globs import matching;"
        " assert matching(['uv.lock', '.venv', '!.venv/x']).match_file('.venv/a');"
        " assert 'pathspec' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
