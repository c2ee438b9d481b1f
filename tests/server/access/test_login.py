"""The page where a browser comes in leads on to a page of this server, and to nothing else."""

from urllib.parse import urlencode

import pytest

pytestmark = pytest.mark.xdist_group("served")


@pytest.mark.parametrize(
    "place",
    ["//evil", "/\\evil", "/\t/evil", "/\tevil.example/", "/\nx", "/\x1bx", "/\u202ex", "x:y"],
)
def test_it_leads_nowhere_else(shared, place):
    """A backslash is a slash to a browser, also that of an escaped control character."""
    page = shared.call("GET", f"/login?{urlencode({'then': place})}", role=None)
    assert b'data-then="/"' in page.body, page


def test_it_leads_to_a_page_of_this_server(shared):
    page = shared.call("GET", "/login?then=/runs/well", role=None)
    assert b'data-then="/runs/well"' in page.body
