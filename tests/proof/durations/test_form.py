"""The file of durations: what it says, and everything it is refused for."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from jsonschema_rs import Draft202012Validator

from zf.errors import ZfError
from zf.proof.durations.form import MAX_BYTES, NEWEST, Durations, Took

A, B = "a" * 64, "b" * 64
SCHEMA = Path(__file__).parents[3] / "docs/reference/schemas/durations.schema.json"


def row(name: str, script: str = A) -> dict[str, str]:
    return {"id": name, "script_sha256": script}


def test_the_newest_ten_count_and_the_median_is_expected():
    known = Durations()
    for n in range(12):
        known.add(f"r{n}", [row("t")], {"t": float(n)})
    assert known.tasks["t"].seconds == [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]
    assert known.tasks["t"].expected_s == 6.5
    assert known.runs[:3] == ["r11", "r10", "r9"]
    assert len(known.tasks["t"].seconds) == NEWEST


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [([3.0], 3), ([1.0, 2.0], 1.5), ([9.0, 1.0, 2.0], 2), ([0.0], 0), ([1.0, 1.0, 1e11], 1)],
)
def test_one_slow_run_of_many_changes_nothing(seconds, expected):
    assert Took(A, seconds).expected_s == expected


def test_another_script_begins_anew():
    known = Durations()
    known.add("r1", [row("t", A)], {"t": 5})
    known.add("r2", [row("t", B)], {"t": 1})
    assert known.tasks["t"] == Took(B, [1.0])
    assert known.of(row("t", B)) == Took(B, [1.0])
    assert known.of(row("t", A)) is None
    assert known.of(row("u")) is None


def test_what_took_nothing_or_has_no_script_is_left_out():
    known = Durations()
    known.add("r1", [row("t"), {"id": "old"}], {"old": 5})
    assert known.tasks == {}
    assert known.runs == ["r1"]


def test_a_file_reads_as_it_was_written(tmp_path):
    known = Durations()
    known.add("r1", [row("b"), row("a", B)], {"a": 12.3456, "b": 1 / 3})
    known.write(f"{tmp_path}/durations.json")
    written = (tmp_path / "durations.json").read_text()
    assert written == (
        "{\n"
        '  "schema": "zf/durations/v1",\n'
        '  "runs": ["r1"],\n'
        '  "tasks": {\n'
        f'    "a": {{"script_sha256":"{B}","seconds":[12.35]}},\n'
        f'    "b": {{"script_sha256":"{A}","seconds":[0.3333]}}\n'
        "  }\n"
        "}\n"
    )
    assert json.loads(written)["tasks"]["a"]["seconds"] == [12.35]
    assert Durations.load(f"{tmp_path}/durations.json") == known
    empty = Durations()
    empty.write(f"{tmp_path}/durations.json")
    assert Durations.load(f"{tmp_path}/durations.json") == empty


def test_the_schema_says_what_is_written():
    schema = json.loads(SCHEMA.read_text())
    known = Durations()
    known.add("r1", [row("a")], {"a": 1e11})
    for one in (known, Durations()):
        assert Draft202012Validator(schema).is_valid(json.loads(one.as_json()))
    assert not Draft202012Validator(schema).is_valid(json.loads(file_of(f'"t": {took("-1")}')))


def file_of(task: str) -> str:
    return f'{{\n"schema": "zf/durations/v1",\n"tasks": {{\n"ok": {took("1")},\n{task}\n}}\n}}\n'


def took(seconds: str, script: str = A) -> str:
    return f'{{"script_sha256": "{script}", "seconds": [{seconds}]}}'


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        pytest.param("", "Input data was truncated", None, id="empty"),
        pytest.param("[]", "Expected `object`, got `array`", None, id="a list"),
        pytest.param("{}{}", "JSON is malformed: trailing characters", 1, id="two"),
        pytest.param(
            '{\n"schema": "zf/durations/v1",\n<<<<<<< HEAD\n',
            "JSON is malformed: object keys must be strings",
            3,
            id="a merge conflict",
        ),
        pytest.param(
            '{"schema": "zf/durations/v2"}',
            "Invalid enum value 'zf/durations/v2'",
            None,
            id="later",
        ),
        pytest.param(
            file_of(f'"t": {took("-1")}'), "task 't': Expected `float` >= 0.0", 5, id="negative"
        ),
        pytest.param(
            file_of(f'"t": {took("1e99")}'),
            "task 't': Expected `float` <= 100000000000.0",
            5,
            id="too long",
        ),
        pytest.param(file_of(f'"t": {took("NaN")}'), "JSON is malformed", 5, id="no number"),
        pytest.param(file_of(f'"t": {took("1e999")}'), "out of range", 5, id="infinite"),
        pytest.param(
            file_of(f'"t": {took(chr(34) + "1" + chr(34))}'),
            "task 't': Expected `float`, got `str`",
            5,
            id="a text",
        ),
        pytest.param(
            file_of(f'"t": {took("")}'), "task 't': Expected `array` of length >= 1", 5, id="none"
        ),
        pytest.param(
            file_of(f'"t": {took(",".join("1" * 11))}'),
            "task 't': Expected `array` of length <= 10",
            5,
            id="eleven",
        ),
        pytest.param(
            file_of(f'"t": {took("1", "A" * 64)}'),
            "task 't': Expected `str` matching regex",
            5,
            id="no digest",
        ),
        pytest.param(
            file_of(f'"../t": {took("1")}'), "task '../t': that is no task's id", 5, id="no id"
        ),
        pytest.param(
            file_of(rf'"t\n": {took("1")}'), r"task 't\n': that is no task's id", 5, id="a break"
        ),
        pytest.param(
            '{"schema": "zf/durations/v1", "x": ' + "[" * 5000 + "]" * 5000 + "}",
            "recursion",
            None,
            id="deep",
        ),
    ],
)
def test_a_file_that_is_none_is_refused_with_its_line(tmp_path, text, said, line):
    path = tmp_path / "durations.json"
    path.write_text(text)
    with pytest.raises(ZfError) as caught:
        Durations.load(str(path))
    [problem] = caught.value.problems
    assert said.casefold() in problem.message.casefold()
    assert (problem.code, problem.file, problem.line) == ("ZF109", str(path), line)
    assert caught.value.exit_code == 2


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "durations.json"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ZfError, match="is larger than"):
        Durations.load(str(path))


def test_a_link_a_fifo_and_a_folder_are_not_followed(tmp_path: Path):
    real = tmp_path / "real.json"
    Durations().write(str(real))
    (tmp_path / "link.json").symlink_to(real)
    os.mkfifo(tmp_path / "fifo.json")
    (tmp_path / "folder.json").mkdir()
    for name in ("link", "fifo", "folder", "missing"):
        with pytest.raises(OSError, match=r"."):
            Durations.load(f"{tmp_path}/{name}.json")
