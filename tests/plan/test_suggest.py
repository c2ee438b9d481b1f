"""Suggestions: helpful for a slip of the finger, silent when nothing is near."""

import pytest

from zf.plan.suggest import nearest

IDS = ["10-build", "20-test", "30-migrate", "40-seed-database", "41-seed", "Deploy"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("40-seed-databse", "40-seed-database"),
        ("seed-database", "40-seed-database"),
        ("10-biuld", "10-build"),
        ("deploy", "Deploy"),
        ("DEPLOY", "Deploy"),
        ("seed", "41-seed"),
        ("migrate", "30-migrate"),
        ("se", None),
        ("", None),
        ("frontend", None),
    ],
)
def test_nearest(name, expected):
    assert nearest(name, IDS) == expected


def test_nothing_is_near_when_nothing_is_known():
    assert nearest("x", []) is None
