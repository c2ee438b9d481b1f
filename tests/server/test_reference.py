"""The page on the server names every route that there is, with the role it takes."""

from tests.support import routes


def test_the_reference_has_every_route():
    text = routes.PAGE.read_text(encoding="utf-8")
    assert text == routes.written(), "write it anew: ./dev python -m tests.support.routes"
    assert text.count("| `GET` |") > 10
