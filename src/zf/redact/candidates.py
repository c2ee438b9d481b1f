"""Where in a text one of many strings may stand: few false places, and never one too few. Pure.

What stands at such a place is for the caller to check.

Python has no fast search for many strings: 200 `find`s take a minute for a GiB, an alternation in
`re` more, and even one character class costs `re` 2.6 ns a character. So the text is read as
UTF-16, which makes one character of two bytes: half as many characters, each a test of 16 bits. In
every string sought two such pairs of bytes are chosen, one for each way it can lie on that grid,
rare in logs and shared with other strings. One regex looks for any of them, followed by what has
to follow. That takes 1.5 s a GiB (a compiled Aho-Corasick in Rust takes 1.8), and 36 ns for every
pair found, so what matters most is that the pairs are few and rare.
"""

from __future__ import annotations

import re
from codecs import utf_16_le_decode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from heapq import heapify, heappop, heapreplace
from itertools import pairwise, product
from typing import Generic, NamedTuple, Protocol, TypeVar

# An encoder breaks its lines after this many bytes at the earliest.
BREAK_LEAST_BYTES = 32
# What the parts of a split string leave out at its beginning; see `secret_search.Literal`.
SPLIT_FROM = 3

# A second byte of 0xD8 to 0xDF looks like half of a surrogate pair to the decoder. If it stumbles
# over one, these bytes are read as others, so strings that contain them are looked for both ways.
_FOLD = bytes(byte & 0xF7 if 0xD8 <= byte <= 0xDF else byte for byte in range(256))
_EITHER = [frozenset((byte, _FOLD[byte])) for byte in range(256)]
_ANY = frozenset(range(256))
# A text is read in blocks that stay in the processor's cache and in memory that is used again;
# they overlap by the four pairs of the longest window.
STEP_BYTES = 16_384
_WINDOW_BYTES = 8
# Only so much of a long string is considered for its pairs.
CONSIDERED_BYTES = 64


class Sought(Protocol):
    """A string to look for, of 4 bytes at least; one of `body` must follow, if there is any.

    A `split` one may have line breaks in it, at least `BREAK_LEAST_BYTES` apart; it has 13 bytes at
    least, so that both of its halves have a window, however they lie on the grid.
    """

    @property
    def text(self) -> bytes: ...
    @property
    def body(self) -> frozenset[int]: ...
    @property
    def split(self) -> bool: ...


_S = TypeVar("_S", bound=Sought)
# Bytes that may stand at each place of a string.
_Shape = Sequence[frozenset[int]]
_Pair = tuple[frozenset[int], frozenset[int]]


class _Window(NamedTuple):
    """Two pairs in a row to find, or four, the first at `offset` of the string."""

    offset: int
    pairs: tuple[_Pair, ...]


class CandidateSearch(Generic[_S]):
    """Built once for a set of strings (one at least), used on any number of texts."""

    def __init__(self, sought: Iterable[_S]) -> None:
        # By two and by four characters: what a window of so many pairs looks like.
        self._by_two: dict[str, list[tuple[_S, int]]] = {}
        self._by_four: dict[str, list[tuple[_S, int]]] = {}
        wanted = [(one, windows) for one in sought for windows in _choices(one)]
        chosen = _choose([windows for _, windows in wanted])
        for (one, _), window in zip(wanted, chosen, strict=True):
            known = self._by_two if len(window.pairs) == 2 else self._by_four
            for units in product(*map(_units, window.pairs)):
                known.setdefault("".join(units), []).append((one, window.offset))
        self._pattern = re.compile(_regex(chosen), re.DOTALL)

    def scan_block(
        self,
        text: memoryview,
        start: int,
        size: int,
        at: int,
        visit: Callable[[_S, int, int], int],
    ) -> int:
        """Call `visit(one, at, offset)` where byte `offset` of `one` may stand at `at`, in order,
        for what begins in the block of `size` bytes at `start` (both are even), from `at` on.

        What `visit` returns is where to go on, if that is further; so is what this returns.
        """
        units = _read_in_pairs(bytes(text[start : start + size + _WINDOW_BYTES]))
        search, end = self._pattern.search, size // 2
        found = search(units, (at - start + 1) // 2)
        while found is not None and (index := found.start()) < end:
            at = start + 2 * index
            go_on = at + 2
            for one, offset in self._by_four.get(units[index : index + 4], ()):
                go_on = max(go_on, visit(one, at, offset))
            for one, offset in self._by_two.get(units[index : index + 2], ()):
                go_on = max(go_on, visit(one, at, offset))
            at = go_on
            found = search(units, (at - start + 1) // 2)
        return at


def _read_in_pairs(text: bytes) -> str:
    """One character for every two bytes; the last one may be half a pair."""
    if len(text) % 2:
        text += b"\0"
    try:
        units, _ = utf_16_le_decode(text)
    except UnicodeDecodeError:
        units = ""
    # Two halves of a pair that follow each other would be one character.
    return units if 2 * len(units) == len(text) else utf_16_le_decode(text.translate(_FOLD))[0]


def _choices(one: Sought) -> Iterator[list[_Window]]:
    """For each way the string can lie on the grid, the windows that would do.

    A split one gets them twice, in two halves of a part too short for two line breaks: a break
    spoils one half at most, and shifts what comes after it on the grid.
    """
    shape = [_EITHER[byte] for byte in one.text[:CONSIDERED_BYTES]]
    if one.split:
        shape = shape[: SPLIT_FROM + BREAK_LEAST_BYTES]
        middle = (SPLIT_FROM + len(shape)) // 2
        parts = [(shape[:middle], SPLIT_FROM), (shape, middle)]
    else:
        # At the end of the text 0 stands for a body that has not come yet.
        parts = [([*shape, one.body | {0} if one.body else _ANY], 0)]
    for part, start in parts:
        for first in (start, start + 1):
            windows = [_window(part, at) for at in range(first, len(part) - 3, 2)]
            yield [window for window in windows if len(window.pairs) == 4] or windows


def _window(shape: _Shape, offset: int) -> _Window:
    """Four pairs if so many are known."""
    pairs = tuple((shape[at], shape[at + 1]) for at in range(offset, len(shape) - 1, 2)[:4])
    return _Window(offset, pairs if len(pairs) == 4 else pairs[:2])


def _choose(choices: list[list[_Window]]) -> list[_Window]:
    """One window of each choice: first pairs that are rare, and serve many strings.

    Greedy: again and again the pair that costs least for each choice it settles.
    """
    settles: dict[_Pair, list[int]] = {}
    for index, windows in enumerate(choices):
        for window in windows:
            settles.setdefault(window.pairs[0], []).append(index)
    pairs = list(settles)
    queue = [(_cost(pair) / len(settles[pair]), at) for at, pair in enumerate(pairs)]
    heapify(queue)
    chosen: dict[int, _Window] = {}
    while len(chosen) < len(choices):
        at = queue[0][1]
        pair = pairs[at]
        left = [index for index in settles[pair] if index not in chosen]
        if not left:
            heappop(queue)
        elif len(left) < len(settles[pair]):
            # Others settled some of these: it costs more for each now.
            settles[pair] = left
            heapreplace(queue, (_cost(pair) / len(left), at))
        else:
            heappop(queue)
            for index in left:
                fit = (window for window in choices[index] if window.pairs[0] == pair)
                chosen[index] = min(fit, key=_passing)
    return [chosen[index] for index in range(len(choices))]


def _passing(window: _Window) -> float:
    """How likely chance lets something through at a place where the first pair stands."""
    likely = 1.0
    for pair in window.pairs[1:]:
        likely *= _cost(pair)
    return likely


@cache
def _cost(pair: _Pair) -> float:
    """How often a pair is met: in logs, where all words and numbers differ, in hex and base64."""
    share, double = _log_shares()
    first, second = pair
    likely = 0.2 * sum(share[byte] for byte in first) * sum(share[byte] for byte in second)
    for alphabet, weight in _MIXTURE:
        likely += weight * len(first & alphabet) * len(second & alphabet) / len(alphabet) ** 2
    if len(first) * len(second) < len(double):
        return likely + sum(double.get(couple, 0.0) for couple in product(first, second))
    return likely + sum(
        share for (one, other), share in double.items() if one in first and other in second
    )


@cache
def _log_shares() -> tuple[list[float], dict[tuple[int, int], float]]:
    """The share of each byte, and of each pair there is, in a sample of logs."""
    single = Counter(_LOG)
    share = [(single[byte] + 0.2) / (len(_LOG) + 51.2) for byte in range(256)]
    double = Counter(pairwise(_LOG))
    return share, {couple: 0.6 * count / len(_LOG) for couple, count in double.items()}


_MIXTURE = (
    (frozenset(b"abcdefghijklmnopqrstuvwxyz"), 0.10),
    (frozenset(b"0123456789"), 0.05),
    (frozenset(b"0123456789abcdef"), 0.03),
    (frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"), 0.05),
)
# What logs look like, a little of each kind.
_LOG = b"""\
2026-11-21T06:30:44.123456Z INFO  [server.request] GET /api/v1/users?id=42 200 OK in 12 ms
2026-11-21 06:31:07,842 WARNING worker-3: retrying request 1730 after timeout (attempt 2 of 5)
[21/Nov/2026:06:30:59 +0000] "POST /login HTTP/1.1" 302 512 "https://example.org/" "Mozilla/5.0"
tests/test_module.py::test_that_something_is_not_found[param-3] PASSED                    [ 57%]
tests/unit/test_models.py::TestUserModel::test_create_with_default_values FAILED          [ 58%]
tests/test_a_long_name.py::test_as_a_user_i_can_change_a_setting PASSED                   [ 59%]
tests/integration/test_cli.py::test_has_all_the_class_attributes_and_paths PASSED         [100%]
test_shared_state (app.tests.test_cache.TestCacheClass.test_shared_state) ... ok
=== RUN   TestParse/handles_escapes   --- PASS: TestParse/handles_escapes (0.00s)   PASS
  File "/usr/lib/python3.11/site-packages/application/main.py", line 120, in handle_request
    return self.connection.execute(query, parameters, timeout=self.settings.timeout)
ERROR: could not connect to server: Connection refused (os error 111) at 10.0.12.7:5432
npm WARN deprecated package@1.2.3: this version is no longer supported, please upgrade
added 1284 packages, and audited 1285 packages in 31s; found 0 vulnerabilities
Step 3/12 : RUN apt-get update && apt-get install -y --no-install-recommends curl git
 ---> Running in 4f1d8c0a97be
Downloading https://files.example.org/packages/archive-2.0.1-py3-none-any.whl (1.4 MB)
gcc -O2 -Wall -Wextra -I./include -DVERSION="1.4" -c src/parser.c -o build/parser.o
src/parser.c:218:17: warning: comparison of integers of different signs [-Wsign-compare]
   Compiling serde_json v1.0.120 (/home/user/project/target/release/deps)
Setting up libpython3.11-stdlib:amd64 (3.11.2-6+deb12u5) ...
drwxr-xr-x  2 root root     4096 Nov 21 06:30 x86_64-linux-gnu
+ kubectl apply -f deployment.yaml --namespace=staging --context=default
deployment.apps/frontend configured, service/backend unchanged, configmap/settings created
{"level":"info","ts":1763706644,"msg":"request completed","status":200,"path":"/health"}
{"time":"2026-11-21T06:30:44Z","severity":"ERROR","message":"could not find user","code":404}
-- Installing: /usr/local/lib/cmake/libxml-config-targets-release.cmake [SUCCESS] [SKIPPED]
export CARGO_PKG_NAME=application RUST_BACKTRACE=1 SOURCE_DATE_EPOCH=315532800 NODE_OPTIONS=
lerna info run Ran npm script 'build' in '@scope/package-name' in 4.2s: class, assets, shell.js
ok 12 - assert that the last result is as expected # time=0.36ms  not ok 24 - has no self._parse
commit 9fceb02d0ae598e95dc970b74767f19372d61af8 (HEAD -> main, origin/main)
 12 files changed, 340 insertions(+), 27 deletions(-)
request_id=3f7c1b2e-55d0-4c1a-9a54-0d9b7e61c2aa user_id=1029 duration_ms=35 status=success
Nov 21 06:30:44 hostname systemd[1]: Started Session 42 of user root.
| id | name                     | value      |
=====================================================================
DEBUG:root:loading configuration from environment and defaults, this may take a while
The worker took the next token from the queue, looked it up and wrote the password file.
"""


def _units(pair: _Pair) -> list[str]:
    """The characters UTF-16 makes of a pair of bytes."""
    return [chr(first | second << 8) for first, second in product(*pair)]


def _regex(windows: Sequence[_Window]) -> str:
    """Two classes in a row, so that `re` runs its fastest loop, then two more.

    Where those are unknown, lookbehinds make sure that the first two are of such a string.
    """
    first, second = (_class(window.pairs[place] for window in windows) for place in range(2))
    four = [window.pairs for window in windows if len(window.pairs) == 4]
    two = [window.pairs for window in windows if len(window.pairs) == 2]
    follow = []
    if four:
        follow.append(_class(pairs[2] for pairs in four) + _class(pairs[3] for pairs in four))
    if two:
        again = [f"(?<={_class(one.firsts)}{_class(one.seconds)})" for one in _groups(two)]
        follow.append(f"(?<={_class(pairs[0] for pairs in two)}.)(?:{'|'.join(again)})")
    return f"{first}{second}(?:{'|'.join(follow)})"


class _Group:
    """Windows of two pairs that are asked for together: any first with any second passes."""

    def __init__(self) -> None:
        self.firsts: set[_Pair] = set()
        self.seconds: set[_Pair] = set()
        self._first_cost = 0.0
        self._second_cost = 0.0

    def growth(self, first: _Pair, second: _Pair) -> float:
        """How much more would pass by chance with this couple."""
        first_cost = self._first_cost + (first not in self.firsts) * _cost(first)
        second_cost = self._second_cost + (second not in self.seconds) * _cost(second)
        return first_cost * second_cost - self._first_cost * self._second_cost

    def add(self, first: _Pair, second: _Pair) -> None:
        self._first_cost += (first not in self.firsts) * _cost(first)
        self._second_cost += (second not in self.seconds) * _cost(second)
        self.firsts.add(first)
        self.seconds.add(second)


def _groups(couples: Iterable[tuple[_Pair, ...]]) -> list[_Group]:
    """A few groups, so that few of the wrong couples pass, and yet few lookbehinds are needed."""
    groups = [_Group() for _ in range(_GROUPS)]
    for first, second in sorted(dict.fromkeys(couples), key=lambda couple: -_cost(couple[1])):
        min(groups, key=lambda group: group.growth(first, second)).add(first, second)
    return [group for group in groups if group.firsts]


# A lookbehind takes 20 ns, a wrong place that Python has to check 350.
_GROUPS = 6


def _class(pairs: Iterable[_Pair]) -> str:
    """A character class for these pairs, neighbours joined to ranges; empty for none."""
    units = sorted({ord(unit) for pair in pairs for unit in _units(pair)})
    parts = []
    start = 0
    for index, unit in enumerate(units):
        if units[index + 1 : index + 2] != [unit + 1]:
            parts.append(_char(units[start]) + (f"-{_char(unit)}" if units[start] < unit else ""))
            start = index + 1
    return f"[{''.join(parts)}]" if parts else ""


def _char(unit: int) -> str:
    return chr(unit) if unit > 0xFF else f"\\x{unit:02x}"
