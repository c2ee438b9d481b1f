"""Where each page is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from markupsafe import Markup


def run(name: str, part: str = "") -> str:
    """The page of a run, or a part of it: `tasks`, `graph`, `verify`."""
    return f"/runs/{_word(name)}" + (f"/{part}" if part else "")


def task(run_name: str, name: str, attempt: int | None = None) -> str:
    """The page of a task in a run, of its newest attempt or of another."""
    return with_query(f"{run(run_name)}/tasks/{_word(name)}", attempt=attempt)


def log(
    run_name: str, name: str, command: str, *, attempt: int | None = None, line: int | None = None
) -> str:
    """What a command printed, at the end or at a line of it."""
    path = f"{task(run_name, name)}/logs/{_word(command)}"
    return with_query(path, attempt=attempt, line=line)


def raw(run_name: str, name: str, command: str, attempt: int | None = None) -> str:
    """The whole of that, to be kept."""
    path = f"/api/v1{task(run_name, name)}/logs/{_word(command)}"
    return with_query(path, attempt=attempt)


def definition(name: str, line: int | None = None) -> str:
    """What a task says, and where."""
    return f"/tasks/{_word(name)}" + (f"#L{line}" if line else "")


def with_query(path: str, **query: object) -> str:
    """The path with what of the query is there."""
    given = {name: value for name, value in query.items() if value not in {None, ""}}
    return f"{path}?{urlencode(given)}" if given else path


def queried(path: str, query: Mapping[str, str], **changed: str) -> str:
    """The same page with other parts of its query."""
    return with_query(path, **{**query, **changed})


def in_picture(svg: Markup, run_name: str) -> Markup:
    """A picture whose links lead to pages of tasks, not to places in one page.

    No text in it has a plain quotation mark, so this is found in links alone.
    """
    return svg.replace('href="#task-', f'href="{run(run_name)}/tasks/')


def in_graph(svg: Markup) -> Markup:
    """The same of the project's own tasks."""
    return svg.replace('href="#task-', 'href="/tasks/')


def _word(text: str) -> str:
    return quote(text, safe="")
