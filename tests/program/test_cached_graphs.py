"""What is run again in graphs at random is what make and ninja would build again."""

import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.program import Project

NINJA = Path(sys.executable).parent / "ninja"


class Graph:
    """Targets, each made of some files and of earlier targets, in three projects of their own."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.rng = rng
        self.root = root
        count = rng.randint(4, 9)
        self.needs = {
            n: sorted(rng.sample(range(n), rng.randint(0, min(n, 3)))) for n in range(count)
        }
        self.leaves = {n: [f"src/{n}-{k}" for k in range(rng.randint(1, 3))] for n in range(count)}
        self.extra = dict.fromkeys(self.needs, "")
        self.zf = Project(root / "zf")
        for tool in ("zf", "make", "ninja"):
            (root / tool / "src").mkdir(parents=True)
            (root / tool / "out").mkdir()
        for path in (leaf for leaves in self.leaves.values() for leaf in leaves):
            self.write(path, path)
        self.write("src/unused", "0")
        self.describe()

    def write(self, path: str, text: str) -> None:
        for tool in ("zf", "make", "ninja"):
            (self.root / tool / path).write_text(text)

    def command(self, n: int) -> str:
        return f"cat {' '.join(self.inputs(n))} > out/{n}; echo {n} {self.extra[n]} >> out/{n}"

    def inputs(self, n: int) -> list[str]:
        return [*self.leaves[n], *(f"out/{need}" for need in self.needs[n])]

    def describe(self) -> None:
        """Write the task files, the Makefile and build.ninja."""
        makefile = "all: " + " ".join(f"out/{n}" for n in self.needs) + "\n"
        ninja = ""
        for n in self.needs:
            self.zf.task(
                f"t{n}",
                f"{self.command(n)}; echo {n} >> ../ran",
                needs=[f"t{need}" for need in self.needs[n]],
                sources=self.inputs(n),
                generates=[f"out/{n}"],
                cache=True,
            )
            makefile += f"out/{n}: {' '.join(self.inputs(n))}\n\t{self.command(n)}\n"
            ninja += f"rule r{n}\n  command = {self.command(n)}\n"
            ninja += f"build out/{n}: r{n} {' '.join(self.inputs(n))}\n"
        (self.root / "make/Makefile").write_text(makefile)
        (self.root / "ninja/build.ninja").write_text(ninja)

    def tool(self, *words: str) -> subprocess.CompletedProcess[str]:
        folder = self.root / Path(words[0]).name
        return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)

    def by_make(self) -> set[int]:
        """What make would build; then it does."""
        fresh = self.tool("make", "-q").returncode == 0
        told = set(map(int, re.findall(r"> out/(\d+);", self.tool("make", "-n").stdout)))
        assert fresh == (not told)
        assert self.tool("make").returncode == 0
        return told

    def by_ninja(self) -> set[int]:
        told = self.tool(str(NINJA), "-n", "-v").stdout
        assert self.tool(str(NINJA)).returncode == 0
        return set(map(int, re.findall(r"> out/(\d+);", told)))

    def by_zf(self, run: str) -> set[int]:
        ran = self.root / "ran"
        ran.unlink(missing_ok=True)
        done = self.zf.zf("run-phase", "A", "--cached", "--run-id", run)
        assert done.code == 0, done.err
        return set(map(int, ran.read_text().split())) if ran.exists() else set()


def edits(graph: Graph) -> str:
    """Do something to all three projects; what it was."""
    rng = graph.rng
    what = rng.choice(["source", "source", "two", "command", "output", "unused", "nothing"])
    leaves = [leaf for leaves in graph.leaves.values() for leaf in leaves]
    if what in {"source", "two"}:
        for leaf in rng.sample(leaves, min(len(leaves), 2 if what == "two" else 1)):
            graph.write(leaf, f"{rng.random()}")
    elif what == "command":
        graph.extra[rng.choice(list(graph.needs))] = f"{rng.random()}"
        graph.describe()
    elif what == "output":
        gone = rng.choice(list(graph.needs))
        for tool in ("zf", "make", "ninja"):
            (graph.root / tool / f"out/{gone}").unlink()
        return f"output {gone}"
    elif what == "unused":
        graph.write("src/unused", f"{rng.random()}")
    return what


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("seed", range(2))
def test_what_is_run_again_is_what_make_and_ninja_would_build(tmp_path, seed, request):
    more = request.config.getoption("--campaign")
    for number in range(200 if more else 1):
        rng = random.Random(f"{seed} {number}")
        graph = Graph(tmp_path / f"{number}", rng)
        assert graph.by_make() == graph.by_ninja() == graph.by_zf("r0") == set(graph.needs)
        for turn in range(1, 7):
            done = edits(graph)
            make, ninja, zf = graph.by_make(), graph.by_ninja(), graph.by_zf(f"r{turn}")
            if done == "command":
                # make does not see it; what it builds later on is then older than that of the rest.
                assert zf == ninja > make, done
                assert graph.tool("make", "-B").returncode == 0
            elif done.startswith("output"):
                # Both go by times, and the same bytes again are new to them: only what is gone is
                # built by zf, which looks at what came of that.
                assert zf == {int(done.split()[1])}
                assert make == ninja >= zf
            else:
                assert zf == ninja == make, done
