"""The file that `$ZF_OUTPUT` names: what it means, and that nothing in it is guessed."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zf.proof.tree.contents import MAX_HANDED_BYTES, MAX_OUTPUT_BYTES
from zf.work.results.outputs import parse, read_handed

SIMPLE = {
    "one": (b"version=1.2.3\n", {"version": b"1.2.3"}),
    "no newline at the end": (b"version=1.2.3", {"version": b"1.2.3"}),
    "empty": (b"version=\n", {"version": b""}),
    "the value has what begins values": (b"a=b=c<<d\n", {"a": b"b=c<<d"}),
    "as it is written": (b"a= b \r\n", {"a": b" b \r"}),
    "the last counts": (b"a=1\nb=2\na=3\n", {"a": b"3", "b": b"2"}),
    "lines without anything": (b"\n \na=1\n\r\n", {"a": b"1"}),
    "with a byte order mark": (b"\xef\xbb\xbfa=1\n", {"a": b"1"}),
    "a block": (b"a<<EOF\none\ntwo\nEOF\nb=1\n", {"a": b"one\ntwo", "b": b"1"}),
    "a block without its last newline": (b"a<<EOF\none\nEOF", {"a": b"one"}),
    "an empty block": (b"a<<EOF\nEOF\n", {"a": b""}),
    "a block of an empty line": (b"a<<EOF\n\nEOF\n", {"a": b""}),
    "a block with what looks like values": (b"a<<E\nb=1\nc<<E2\nE\n", {"a": b"b=1\nc<<E2"}),
    "a delimiter with =": (b"a<<E=F\n1\nE=F\n", {"a": b"1"}),
    "the delimiter is alone on its line": (b"a<<E\n E\nE \nE\n", {"a": b" E\nE "}),
}


@pytest.mark.parametrize("which", SIMPLE)
def test_what_is_written_is_read(which):
    data, values = SIMPLE[which]
    assert (parse(data).values, parse(data).bad) == (values, [])


BAD = {
    "no value": (
        b"version\na=1\n",
        {"a": b"1"},
        "line 1 is neither name=value nor name<<DELIMITER",
    ),
    "spaces": (b"\nthe version = 1\n", {}, "line 2 has a name that no output has: 'the version '"),
    "no name": (b"=1\n", {}, "line 1 has a name that no output has: ''"),
    "a dot": (b"a.b=1\n", {}, "line 1 has a name that no output has: 'a.b'"),
    "a block without an end": (
        b"a=1\nb<<EOF\none\na=2\n",
        {"a": b"1"},
        "line 2 begins a value that never ends: no 'EOF' on a line of its own",
    ),
    "a block without a delimiter": (b"a<<\n1\n\n", {}, "line 1 begins a value that never ends"),
    "bytes": (b"\xff\x00\n", {}, r"neither name=value nor name<<DELIMITER: '\\xff\x00'"),
}


@pytest.mark.parametrize("which", BAD)
def test_what_cannot_be_told_is_told_of(which):
    data, values, told = BAD[which]
    parsed = parse(data)
    assert parsed.values == values
    assert len(parsed.bad) == 1
    assert told in parsed.bad[0]


NAMES = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_-]{0,20}\Z")
LINES = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\n\0"))


@settings(max_examples=200)
@given(st.lists(st.tuples(NAMES, st.lists(LINES, min_size=1, max_size=4)), max_size=8))
def test_whatever_is_written_as_a_block_comes_back(written):
    data, values = b"", {}
    for name, lines in written:
        end = "EOF"
        while end in lines:
            end += "_"
        data += f"{name}<<{end}\n".encode() + "".join(f"{one}\n" for one in [*lines, end]).encode()
        values[name] = "\n".join(lines).encode()
    assert (parse(data).values, parse(data).bad) == (values, [])


@settings(max_examples=200)
@given(st.lists(st.tuples(NAMES, LINES), max_size=8))
def test_whatever_is_written_on_a_line_comes_back(written):
    data = "".join(f"{name}={value}\n" for name, value in written).encode()
    assert (parse(data).values, parse(data).bad) == (
        {name: value.encode() for name, value in written},
        [],
    )


@settings(max_examples=200)
@given(st.binary(max_size=300) | st.text(alphabet="ab=<E\n\r ", max_size=60).map(str.encode))
def test_no_bytes_harm_the_reader_and_every_value_stands_in_them(data):
    parsed = parse(data)
    for name, value in parsed.values.items():
        assert name.encode() in data
        assert value in data


def handed(tmp_path, data: bytes, declared=("a",), **more):
    (tmp_path / "told").write_bytes(data)
    return read_handed(str(tmp_path / "told"), declared, more.pop("hide", str), **more)


def test_declared_ones_are_handed_on_and_others_are_noted(tmp_path):
    found = handed(tmp_path, b"b=2\na=1\nc=3\n", ("a", "b"))
    assert list(found.values.items()) == [("a", "1"), ("b", "2")]
    assert found.problem == ""
    assert found.notes == [
        "output 'c' is not kept: the task does not declare it in `outputs`",
    ]


def test_what_lacks_is_a_problem_with_the_reason_at_hand(tmp_path):
    found = handed(tmp_path, b"a<<EOF\n1\n", ("a", "b"))
    assert found.problem == (
        "output 'a' was not written to $ZF_OUTPUT; output 'b' was not written to $ZF_OUTPUT (what"
        " was written to $ZF_OUTPUT: line 1 begins a value that never ends: no 'EOF' on a line of"
        " its own)"
    )


UNUSABLE = {
    "is larger than 64 KiB": b"x" * (MAX_OUTPUT_BYTES + 1),
    "has a NUL character, which no variable can hold": b"a\0b",
    "is not UTF-8": b"\xff",
}


@pytest.mark.parametrize("why", UNUSABLE)
def test_a_value_that_no_variable_can_hold_is_none(tmp_path, why):
    found = handed(tmp_path, b"b=" + UNUSABLE[why] + b"\na=" + UNUSABLE[why], ("a",))
    assert (found.values, found.problem.partition(" (")[0]) == ({}, f"output 'a' {why}")


def test_the_largest_value_is_kept_whole(tmp_path):
    value = b"x" * MAX_OUTPUT_BYTES
    assert handed(tmp_path, b"a=" + value).values == {"a": value.decode()}


def test_of_a_file_that_is_too_large_nothing_is_kept(tmp_path):
    """A value at its end would be cut, and an earlier one may not be the last."""
    found = handed(tmp_path, b"a=1\n" + b"\n" * MAX_HANDED_BYTES)
    assert found.values == {}
    assert "more than 1024 KiB, of which nothing is kept" in found.problem


def test_a_sparse_file_of_a_gigabyte_is_not_read_whole(tmp_path):
    with open(tmp_path / "told", "wb") as file:
        file.truncate(1024**3)
    assert "more than 1024 KiB" in read_handed(str(tmp_path / "told"), ["a"], str).problem


@pytest.mark.parametrize("what", ["a folder", "a fifo", "a link", "a device"])
def test_what_is_no_file_is_not_read(tmp_path, what):
    path = tmp_path / "told"
    if what == "a folder":
        path.mkdir()
    elif what == "a fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if what == "a device" else "/etc/hostname")
    found = read_handed(str(path), ["a"], str)
    assert found.values == {}
    assert "what was written to $ZF_OUTPUT cannot be read" in found.problem


def test_secrets_are_redacted_by_value_and_by_name(tmp_path):
    data = b"a=see hunter22!\ndeploy_token=abc\nplan=abc\nempty_key=\n"
    found = handed(
        tmp_path,
        data,
        ("a", "deploy_token", "plan", "empty_key"),
        hide=lambda text: text.replace("hunter22", "***"),
        secret_names=("PL*",),
    )
    assert found.values == {"a": "see ***!", "deploy_token": "***", "plan": "***", "empty_key": ""}
    assert [note.split("'")[1] for note in found.notes] == ["a", "deploy_token", "plan"]


def test_many_notes_are_bounded(tmp_path):
    found = handed(tmp_path, b"".join(b"n%d=1\n" % n for n in range(1000)))
    assert len(found.notes) == 11
    assert found.notes[-1] == "and 990 more notes on outputs"


@pytest.mark.campaign
@settings(max_examples=10_000)
@given(st.lists(st.tuples(NAMES, LINES, st.booleans()), max_size=12))
def test_of_ten_thousand_files_the_last_value_of_each_name_comes_back(written):
    data, values = b"", {}
    for name, value, as_block in written:
        end = f"{value}_"
        data += (f"{name}<<{end}\n{value}\n{end}\n" if as_block else f"{name}={value}\n").encode()
        values[name] = value.encode()
    assert (parse(data).values, parse(data).bad) == (values, [])
