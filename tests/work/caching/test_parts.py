"""The key of a task: the same for the same, another for every declared byte, and for nothing else."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zf.lean.records import replace
from zf.model import Need, Step, Task, recalled, recorded
from zf.work.caching import parts

SALT = "0" * 32
texts = st.text(max_size=12)
words = st.text("abcxyz-_0123", min_size=1, max_size=6)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)


@st.composite
def tasks(draw):
    """A task with whatever a task file may say of what it runs."""
    steps = draw(
        st.lists(st.builds(Step, words, texts, st.integers(1, 99)), min_size=1, max_size=3)
    )
    return Task(
        draw(words),
        draw(words),
        tuple(steps),
        title=draw(texts),
        needs=tuple(map(Need, draw(st.lists(words, max_size=2, unique=True)))),
        workdir=draw(words),
        env=draw(st.dictionaries(words, texts, max_size=2)),
        artifacts=tuple(draw(st.lists(words, max_size=2))),
        cleanup=tuple(draw(st.lists(st.builds(Step, words, texts), max_size=1))),
        sources=("src/**",),
        generates=tuple(draw(st.lists(words, max_size=2))),
        cache=True,
    )


@st.composite
def everything(draw):
    """A task, and the other parts beside those that come of it; and what is not to be shown."""
    rest = {
        "env": draw(st.dictionaries(words, texts | st.none(), max_size=3)),
        "sources": draw(st.dictionaries(texts, digests, min_size=1, max_size=4)),
        "needs": draw(st.dictionaries(words, digests, max_size=2)),
        "platform": draw(words),
        "tools": draw(st.dictionaries(texts, texts, max_size=2)),
    }
    return draw(tasks()), rest, draw(st.dictionaries(words, texts, max_size=2))


def made(task, rest, secret, salt=SALT):
    said, script = parts.of_task(task)
    return parts.made({"task": said, "script": script, **rest}, secret, salt)


def record(task, rest, secret, salt="f" * 32):
    """What a proof says of it, as it is read again."""
    return json.loads(json.dumps(made(task, rest, secret, salt).as_json()))


def hits(one, other):
    """Whether the result of the first counts for the second; and that reasons are told if not."""
    told, now = record(*one), made(*other)
    same = parts.is_same(now, other[2], told)
    assert bool(parts.changes(now, other[2], told)) != same
    return same


def longer(request):
    return 10_000 if request.config.getoption("--campaign") else 60


def property_test(check):
    """Few examples in passing, many in a campaign."""

    def run(request):
        settings(max_examples=longer(request))(given(everything(), st.data())(check))()

    run.__name__, run.__doc__ = check.__name__, check.__doc__
    return run


def changed_text(data, text):
    """A text that differs from it in a character."""
    at = data.draw(st.integers(0, len(text)))
    return text[:at] + data.draw(st.sampled_from("qQ\n\0é")) + text[at:]


def changed(data, value):
    """The same value with one thing in it changed: a byte, or one more, or one less."""
    if isinstance(value, str):
        return changed_text(data, value)
    if value is None:
        return "set"
    if isinstance(value, dict) and value:
        name = data.draw(st.sampled_from(sorted(value)))
        rest = {key: one for key, one in value.items() if key != name}
        choice = data.draw(st.sampled_from(["value", "name", "gone"]))
        if choice == "gone":
            return rest
        if choice == "name":
            return rest | {changed_text(data, name): value[name]}
        return value | {name: changed(data, value[name])}
    if isinstance(value, dict):
        return {"new": "0"}
    raise AssertionError(value)


@property_test
def test_the_same_counts(one, data):
    task, rest, secret = one
    again = recalled(json.loads(json.dumps(recorded(task))))
    shuffled = {
        key: dict(data.draw(st.permutations(list(value.items()))))
        if isinstance(value, dict)
        else value
        for key, value in rest.items()
    }
    assert hits(one, (again, shuffled, secret))
    assert made(task, rest, secret, "1" * 32).key == made(task, rest, secret, "2" * 32).key


@property_test
def test_every_declared_byte_counts(one, data):
    task, rest, secret = one
    part = data.draw(st.sampled_from(sorted(rest)))
    assert not hits(one, (task, rest | {part: changed(data, rest[part])}, secret))


def test_a_change_is_told_alone():
    task = Task("x", "A", (Step("s", "true"),), sources=("a",), generates=("b",), cache=True)
    rest = {"env": {}, "sources": {}, "needs": {}, "platform": "p", "tools": {}}
    now = made(replace(task, generates=("b", "!b/c")), rest, {})
    [told] = parts.changes(now, {}, record(task, rest, {}))
    assert (told.part, told.name, told.old, told.new) == (
        "task",
        "generates",
        '["b"]',
        '["b","!b/c"]',
    )


@property_test
def test_every_byte_of_a_script_counts(one, data):
    task, rest, secret = one
    at = data.draw(st.integers(0, len(task.steps) - 1))
    steps = list(task.steps)
    steps[at] = replace(steps[at], run=changed_text(data, steps[at].run))
    assert not hits(one, (replace(task, steps=tuple(steps)), rest, secret))


@property_test
def test_every_hidden_byte_counts_and_is_in_no_record(one, data):
    task, rest, secret = one
    assert not hits(one, (task, rest, changed(data, secret)))
    told = json.dumps(record(task, rest, {"TOKEN": "swordfish"}))
    assert "swordfish" not in told


# What a step can see, or what changes what its result is.
SEEN = {
    "id": "other",
    "phase": "other",
    "workdir": "other",
    "artifacts": ("more",),
    "required_artifacts": ("more",),
    "reports": {"junit": ["more.xml"]},
    "generates": ("more",),
    "generates_check": "content",
    "budget": {"calls": 1},
    "budget_required": True,
    "metrics_strict": True,
    "secrets": ("MORE",),
    "allow_secrets_in": ("more",),
    "leave_running": True,
    "outputs": ("more",),
    "env_from": {"V": "a.b"},
    "base": "more",
    "matrix": {"py": "3"},
}
# What neither is so.
UNSEEN = {
    "approval": {"by": ["ann"]},
    "title": "Another title",
    "file": "elsewhere.yaml",
    "line": 77,
    "tags": ("slow",),
    "nice": 5,
    "memory_mb": 512,
    "cpus": 2.0,
    "pids_max": 50,
    "open_files": 100,
    "condition": "always()",
    "pass_env": ("HOME",),
    "parallel_safe": True,
    "priority": 7,
    "resources": {"cpu": 2},
    "concurrency": "db",
    "log_tail": 3,
    "timeout_s": 5.0,
    "silence_timeout_s": 5.0,
    "cleanup_timeout_s": 5.0,
    "deadline_s": 5.0,
    "start_after_s": 5.0,
    "queue_timeout_s": 5.0,
    "max_log_bytes": 5,
    "max_retries": 5,
    "retry_delay_s": 5.0,
    "retry_max_delay_s": 5.0,
    "retry_on": ("failure",),
    "allow_failure": True,
    "allow_timeout": True,
    "needs": (Need("more"),),
    "env": {"MORE": "1"},
    "cache": False,
    "cache_env": ("MORE",),
    "cache_tools": ("more",),
    "sources": ("more",),
    "max_parallel": 2,
    "matrix_fail_fast": True,
    "origins": {"run": "zf.yaml:3"},
}
PLAIN = Task("a", "A", (Step("step-0", "true"),))


@pytest.mark.parametrize("name", SEEN)
def test_what_a_step_can_see_counts(name):
    assert parts.of_task(replace(PLAIN, **{name: SEEN[name]})) != parts.of_task(PLAIN)


@pytest.mark.parametrize("name", UNSEEN)
def test_what_no_step_can_see_does_not_count_or_has_a_part_of_its_own(name):
    assert parts.of_task(replace(PLAIN, **{name: UNSEEN[name]})) == parts.of_task(PLAIN)


def test_of_every_field_of_a_task_it_was_decided():
    decided = SEEN.keys() | UNSEEN.keys() | {"steps", "cleanup"}
    # A field that comes later counts until somewhere above says otherwise.
    new = set(Task.__struct_fields__) - decided
    assert new <= set(NEW)


# Fields of other parts of zf, which count as long as nothing is said of them here.
NEW = (
    *("skip_exit_codes", "required_env", "on_newer", "matrix_from", "arguments"),
    *("inputs", "sandbox", "container", "services", "repeat"),
    *("executor", "labels"),
    "on_end",
)


def test_where_a_step_stands_in_its_file_does_not_count():
    moved = replace(PLAIN, steps=(Step("step-0", "true", 40),))
    assert parts.of_task(moved) == parts.of_task(PLAIN)


PROGRAM = """
import random, sys
from hashlib import sha256
from zf.model import Step, Task
from zf.work.caching import parts
task = Task("b\\u00fcild", "A", (Step("one", "echo \\U0001f600\\n", 3),), env={"B": "2", "A": "1"})
said, script = parts.of_task(task)
rest = {"env": {"B": "2", "A": None}, "sources": {"\\u00e9/\\udcff": "100644 0"}, "needs": {},
        "platform": "any", "tools": {}}
print(parts.made({"task": said, "script": script, **rest}, {"T": "s"}, "0" * 32).key)

draw, keys = random.Random(13), sha256()
def text():
    return "".join(chr(draw.getrandbits(11)) for _ in range(draw.getrandbits(3)))
def texts():
    return {text(): text() for _ in range(draw.getrandbits(2))}
for n in range(int(sys.argv[1])):
    steps = tuple(Step(text(), text(), n, env=texts()) for _ in range(1 + draw.getrandbits(1)))
    task = Task(text(), "A", steps, env=texts(), artifacts=(*texts(),), generates=(*texts(),))
    said, script = parts.of_task(task)
    rest = {"env": texts(), "sources": texts(), "needs": texts(), "platform": text(),
            "tools": texts()}
    made = parts.made({"task": said, "script": script, **rest}, texts(), "0" * 32)
    keys.update(made.key.encode())
print(keys.hexdigest())
"""
KEY = "696c02faaf65b0b4c39d356ea41b91530bd9b89e12f8ee38bdacd4438d9b367c"
MINORS = (11, 12, 13, 14)
SOURCE = str(Path(__file__).resolve().parents[3] / "src")


def keys_of(python, count=100, **env):
    """The key of one task, and a digest of the keys of so many others."""
    done = subprocess.run(
        [python, "-c", PROGRAM, str(count)],
        cwd="/",
        env={"PYTHONPATH": SOURCE, "PATH": "/usr/bin:/bin", **env},
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(done.stdout.split())


def test_the_key_is_the_same_in_every_process_and_locale():
    keys = {
        keys_of(sys.executable, PYTHONHASHSEED=seed, LC_ALL=locale, TZ=zone, HOME=home)
        for seed, locale, zone, home in (
            ("1", "C", "UTC", "/root"),
            ("2", "C.UTF-8", "Asia/Tokyo", "/nowhere"),
            ("3", "POSIX", "America/New_York", "/"),
        )
    }
    assert len(keys) == 1
    # On another machine, and in every later version of zf, too.
    assert {key for key, _ in keys} == {KEY}


def records_for(minor, folder):
    """A folder from which this Python, which need not have what zf needs, imports its records."""
    words = ("--quiet", "--no-deps", "--only-binary", ":all:", "--python-version", f"3.{minor}")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *words, "--target", folder, "msgspec"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no msgspec to be had for Python 3.{minor}: {done.stderr[-200:]}")
    return str(folder)


def interpreter(minor):
    """A Python of this version which starts; pyenv's own commands do so for one of them only."""
    kept = Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3.{minor}")
    for found in (shutil.which(f"python3.{minor}"), *map(str, kept)):
        if (
            found
            and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0
        ):
            return found
    pytest.skip(f"needs python3.{minor}")


@pytest.mark.parametrize("minor", MINORS)
def test_keys_are_the_same_in_every_python(minor, tmp_path, request):
    python, count = interpreter(minor), longer(request)
    told = keys_of(python, count, PYTHONPATH=f"{SOURCE}:{records_for(minor, tmp_path)}")
    assert told == keys_of(sys.executable, count)


def test_a_large_part_is_recorded_by_its_digest_alone():
    many = {f"src/{n}": "100644 0" for n in range(5_001)}
    rest = {"env": {}, "sources": many, "needs": {}, "platform": "p", "tools": {}}
    told = record(PLAIN, rest, {})
    assert "value" not in told["parts"]["sources"]
    other = rest | {"sources": many | {"src/0": "100755 0"}}
    assert not hits((PLAIN, rest, {}), (PLAIN, other, {}))
    assert hits((PLAIN, rest, {}), (PLAIN, rest, {}))
