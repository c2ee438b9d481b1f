"""Every way we know to harm a run's folder, as functions that do it to a copy."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tests.support.forged_seal import seal


@dataclass(frozen=True)
class Mutation:
    """What is done, in a word and where; `harmless` says why it need not be found."""

    kind: str
    where: str
    do: Callable[[Path], object]
    harmless: str = ""


def files(run: Path) -> list[str]:
    return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())


def folders(run: Path) -> list[str]:
    return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_dir())


def flips(run: Path) -> Iterator[Mutation]:
    """Every byte with one bit turned over, another bit from byte to byte."""
    for name in files(run):
        data = (run / name).read_bytes()
        for place in range(len(data)):
            yield flip(name, data, place, place % 8)


def flip(name: str, data: bytes, place: int, bit: int) -> Mutation:
    changed = bytearray(data)
    changed[place] ^= 1 << bit
    return write("flip", f"{name}:{place}.{bit}", name, bytes(changed))


def truncations(run: Path) -> Iterator[Mutation]:
    """Every file at every length short of its own."""
    for name in files(run):
        data = (run / name).read_bytes()
        for size in range(len(data)):
            yield write("truncate", f"{name}:{size}", name, data[:size])


def write(kind: str, where: str, name: str, data: bytes) -> Mutation:
    return Mutation(kind, where, lambda run: (run / name).write_bytes(data))


def structural(run: Path, other: Path) -> Iterator[Mutation]:
    """Every mutation that is not about one byte or one length; `other` is another run of the plan."""
    names, tops = files(run), [f for f in folders(run) if "/" not in f and f != "attest"]
    for name in names:
        yield from _of_a_file(run, name)
    for folder in ["", *folders(run)]:
        yield from _in_a_folder(run, folder)
    for one in names:
        for two in names:
            if one < two:
                same = (run / one).read_bytes() == (run / two).read_bytes()
                reason = "both have the same bytes" if same else ""
                yield Mutation("swap", f"{one} {two}", _swap(one, two), reason)
    for one in tops:
        for two in tops:
            if one < two:
                yield Mutation("swap trees", f"{one} {two}", _then_seal(_swap(one, two)))
        yield Mutation("tree of another run", one, _then_seal(_replace_tree(other / one, one)))
        yield Mutation("delete tree", one, _then_seal(lambda run, n=one: shutil.rmtree(run / n)))
        yield Mutation("rename tree", one, lambda run, n=one: (run / n).rename(run / f"{n}x"))
    yield from _of_the_journal(run)
    yield from _repaired(run)


def _of_a_file(run: Path, name: str) -> Iterator[Mutation]:
    data = (run / name).read_bytes()
    path = Path(name)
    yield Mutation("delete", name, lambda run: (run / name).unlink())
    yield Mutation("rename", name, lambda run: (run / name).rename(run / f"{name}x"))
    twin = str(path.with_name(path.name.swapcase()))
    yield Mutation("fold case", name, lambda run: (run / name).rename(run / twin))
    yield Mutation("move up", name, lambda run: (run / name).rename(run / f"moved-{path.name}"))
    yield write("append", name, name, data + b"\n")
    yield write("prepend", name, name, b"\n" + data)
    yield write("twice", name, name, data + data) if data else write("fill", name, name, b"x")
    yield Mutation("link", name, lambda run: _link(run, name))
    yield Mutation("hard link", name, lambda run: _hard_link(run, name), "the bytes are the same")
    yield Mutation("mode", name, lambda run: (run / name).chmod(0o755), "the bytes are the same")
    yield Mutation("time", name, lambda run: os.utime(run / name, (1, 1)), "the bytes are the same")
    yield Mutation("folder", name, lambda run: ((run / name).unlink(), (run / name).mkdir()))
    yield Mutation("fifo", name, lambda run: ((run / name).unlink(), os.mkfifo(run / name)))
    if name.endswith(".json"):
        pair = rb'("[a-z_A-Z]+": ?(?:"[^"]*"|null|true|false|[0-9.]+))(\n?[,}])'
        doubled = re.sub(pair, rb"\1,\1\2", data, count=1)
        assert doubled != data
        yield write("duplicate key", name, name, doubled)
        yield write("another spelling", name, name, data.replace(b":", b": ", 1))
        yield write("escaped", name, name, data.replace(b'"s', b'"\\u0073', 1))


def _in_a_folder(run: Path, folder: str) -> Iterator[Mutation]:
    base = f"{folder}/" if folder else ""
    yield Mutation("add", base, lambda run: (run / f"{base}added").write_text("x"))
    yield Mutation("add hidden", base, lambda run: (run / f"{base}.added").write_text(""))
    yield Mutation("add NFC", base, lambda run: (run / f"{base}\u00e9").write_text("x"))
    yield Mutation("add NFD", base, lambda run: (run / f"{base}e\u0301").write_text("x"))
    yield Mutation("add bytes", base, lambda run: _touch(bytes(run / folder) + b"/\xff\n"))
    yield Mutation("add folder", base, lambda run: (run / f"{base}more").mkdir())
    yield Mutation("add link", base, lambda run: (run / f"{base}more").symlink_to("/etc/hostname"))
    if folder and not any((run / folder).iterdir()):
        reason = "an empty folder of a tree holds nothing"
        yield Mutation("delete folder", folder, lambda run: (run / folder).rmdir(), reason)


def _of_the_journal(run: Path) -> Iterator[Mutation]:
    lines = (run / "events.jsonl").read_bytes().splitlines(keepends=True)
    for n in range(len(lines)):
        cut = b"".join(lines[:n])
        yield write("cut the tail", f"line {n}", "events.jsonl", cut)
        yield Mutation("cut the tail and seal", f"line {n}", _then_seal(_writer(cut)))
        yield write(
            "delete a line", f"line {n}", "events.jsonl", b"".join(lines[:n] + lines[n + 1 :])
        )
        twice = b"".join([*lines[: n + 1], *lines[n:]])
        yield write("repeat a line", f"line {n}", "events.jsonl", twice)
        for m in range(n):
            order = [*lines]
            order[m], order[n] = order[n], order[m]
            yield write("swap lines", f"lines {m} {n}", "events.jsonl", b"".join(order))


def _repaired(run: Path) -> Iterator[Mutation]:
    """Edits by somebody who makes every list anew; the last also makes the journal anew."""
    for name in files(run):
        if name.startswith("attest/") or name.endswith((".sha256", "events.jsonl")):
            continue

        def edit(run: Path, name: str = name) -> None:
            data = (run / name).read_bytes()
            # A log's size is in its step's record.
            kept = data[:-1] if name.endswith(".log") else data
            (run / name).write_bytes(kept + b" ")
            repair_lists(run)
            seal(str(run))

        def forge(run: Path, edit=edit) -> None:
            edit(run)
            repair_journal(run)
            seal(str(run))

        yield Mutation("edit and re-hash", name, edit)
        yield Mutation("edit, re-hash and re-chain", name, forge)


def repair_lists(run: Path) -> None:
    """Make every task's checksum lists anew, the inner ones first."""
    for listed in sorted(run.rglob("40-checksums/*.sha256"), key=lambda p: (-len(p.parts), p.name)):
        tree = listed.parents[1]
        base = tree / "30-artifacts" if listed.name == "artifacts.sha256" else tree
        rows = [line[66:] for line in listed.read_text().splitlines()]
        rows = [row for row in rows if (base / row).is_file()]
        lines = [f"{sha256((base / row).read_bytes()).hexdigest()}  {row}\n" for row in rows]
        listed.write_text("".join(lines))


def repair_journal(run: Path) -> None:
    """Make the journal anew, so that it names the files as they are now and chains again."""
    prev, made = "0" * 64, []

    def digest(name: str) -> str:
        path = run / name
        return sha256(path.read_bytes()).hexdigest() if path.is_file() else "0" * 64

    for line in (run / "events.jsonl").read_text().splitlines():
        row = re.sub(r'("prev":)"\w+"', rf'\1"{prev}"', line)
        is_signed = '"type":"approval_' in row  # and so cannot be made anew
        if not is_signed:
            row = re.sub(r'("plan_sha256":)"\w+"', rf'\1"{digest("plan.json")}"', row)
            row = re.sub(r'("run_sha256":)"\w+"', rf'\1"{digest("run.json")}"', row)
        task = re.search(r'"task":"([^"]*)"', row)
        if task and not is_signed:
            attempt = re.search(r'"attempt":(\d+)', row)
            earlier = f"{task[1]}/attempts/{attempt[1] if attempt else 0}"
            tree = earlier if (run / earlier).is_dir() else task[1]
            own = digest(f"{tree}/40-checksums/task.sha256")
            row = re.sub(r'("task_sha256":)"\w+"', rf'\1"{own}"', row)
        made.append(row)
        prev = sha256(row.encode()).hexdigest()
    (run / "events.jsonl").write_text("".join(f"{row}\n" for row in made))


def any_of(run: Path, rng: random.Random, structure: list[Mutation]) -> Mutation:
    """One at random: mostly bytes, for there are most of them."""
    choice = rng.random()
    if choice < 0.25:
        return rng.choice(structure)
    name = rng.choice(files(run))
    data = (run / name).read_bytes()
    if not data:
        return rng.choice(structure)
    place = rng.randrange(len(data))
    if choice < 0.6:
        return flip(name, data, place, rng.randrange(8))
    if choice < 0.7:
        return write("truncate", f"{name}:{place}", name, data[:place])
    size = rng.randrange(1, 20)
    if choice < 0.8:
        return write(
            "insert", f"{name}:{place}", name, data[:place] + rng.randbytes(size) + data[place:]
        )
    if choice < 0.9:
        return write("cut out", f"{name}:{place}+{size}", name, data[:place] + data[place + size :])
    there = rng.randrange(len(data))
    moved = data[:place] + data[there : there + size] + data[place + size :]
    reason = "the bytes are the same" if moved == data else ""
    return Mutation(
        "copy over", f"{name}:{there}+{size}", lambda r: (r / name).write_bytes(moved), reason
    )


def _then_seal(harm: Callable[[Path], object]) -> Callable[[Path], object]:
    """The same, and the manifest made anew where there was one."""

    def both(run: Path) -> None:
        harm(run)
        if (run / "MANIFEST.sha256").exists():
            seal(str(run))

    return both


def _writer(data: bytes) -> Callable[[Path], object]:
    return lambda run: (run / "events.jsonl").write_bytes(data)


def _swap(one: str, two: str) -> Callable[[Path], object]:
    def swap(run: Path) -> None:
        (run / one).rename(run / "between")
        (run / two).rename(run / one)
        (run / "between").rename(run / two)

    return swap


def _replace_tree(source: Path, name: str) -> Callable[[Path], object]:
    return lambda run: (shutil.rmtree(run / name), shutil.copytree(source, run / name))


def _link(run: Path, name: str) -> None:
    """A link to the very same bytes."""
    aside = run.parent / "aside"
    shutil.copy(run / name, aside)
    (run / name).unlink()
    (run / name).symlink_to(aside)


def _hard_link(run: Path, name: str) -> None:
    aside = run.parent / "aside"
    aside.unlink(missing_ok=True)
    os.link(run / name, aside)


def _touch(path: bytes) -> None:
    with open(path, "wb"):
        pass
