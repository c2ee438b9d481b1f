"""What every test shares: the `--campaign` switch, and nothing that hides what a test does."""

import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.program import Project

# How long an example takes to draw depends on what else the machine is doing.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--campaign",
        action="store_true",
        help="also run the long randomised campaigns (marker `campaign`)",
    )


def pytest_configure() -> None:
    # Under nohup or in the background these are ignored, and every zf that a test starts would
    # inherit that and, as it should, not listen to them.
    for number, usual in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "campaign" in item.keywords:
            item.add_marker(pytest.mark.timeout(0))
    if config.getoption("--campaign"):
        return
    skip = pytest.mark.skip(reason="a campaign: run with --campaign")
    for item in items:
        if "campaign" in item.keywords:
            item.add_marker(skip)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """End what a failed test left running, or Python's warning about it fails a later test."""
    if call.when == "call" and call.excinfo is not None:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Project):
                value.end_all()
    return (yield)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project to write task files into and run zf on."""
    return Project(tmp_path / "project")
