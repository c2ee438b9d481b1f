"""Secrets out of a stream of bytes, and out of the texts zf writes itself. Pure.

What is hidden never depends on how the stream was cut into reads: whatever could still become a
secret is held back until it is one or is not, and how long that can be is bounded and documented.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter

from zf.redact.escapes import ESCAPE, VisibleScan, without_escapes
from zf.redact.scan import Found, Mask, Scan
from zf.redact.secret_forms import LEAST_BYTES, WEAK_BYTES, Secret, is_hidden
from zf.redact.secret_search import Patterns, patterns_of

# Constant, so that it tells neither length nor form, and what readers of logs know from elsewhere.
STARS = b"***"
# Masks beyond these are hidden in their own line only: each one means building the search anew.
MASKS_MOST = 100
# More than is ever held back.
_LINES_BYTES = 256 * 1024


class StreamRedactor:
    """The secrets of one task. Masks its streams learn apply to everything that comes later."""

    def __init__(self, secrets: Sequence[Secret] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self.warnings: list[str] = []
        self._secrets = tuple(dict.fromkeys(secrets))
        self._masks: dict[bytes, None] = {}
        self._patterns: Patterns | None = None
        for secret in self._secrets:
            self._warn_of_weak(f"secret {secret.name}", secret.value)

    def stream(self) -> Stream:
        """A new stream, of one step's output say."""
        return Stream(self, self.counts)

    def lines(self, data: Iterable[bytes]) -> dict[str, int]:
        """What would be hidden in a file: each rule, with the line of its first find."""
        found: dict[str, int] = {}
        stream = Stream(self, Counter(), learns=False)
        before, earlier, start = 0, b"", 0
        for chunk in data:
            # What has NULs in it is no text that a terminal shows.
            stream.sees_escapes = b"\0" not in chunk
            stream.feed(chunk)
            if len(earlier) + len(chunk) > _LINES_BYTES:
                # What was held back is in this piece and the one before; so are the finds to come.
                if len(stream.first) > len(found):
                    _note_lines(stream.first, found, earlier + chunk, start, before)
                before += earlier.count(b"\n")
                start += len(earlier)
                earlier = chunk
            else:
                earlier += chunk
        stream.flush()
        _note_lines(stream.first, found, earlier, start, before)
        return found

    def holds_secret(self, data: bytes) -> bool:
        """Whether anything would be hidden in this; it is not counted as hidden."""
        if ESCAPE not in data and self.patterns().are_absent_from(data):
            return False
        counts: Counter[str] = Counter()
        Stream(self, counts, learns=False).flush(data)
        return bool(counts)

    def text(self, text: str) -> str:
        """One value (an argument, a name, a message) with every secret replaced."""
        try:
            data = text.encode(errors="surrogateescape")
        except UnicodeEncodeError:
            # Half a surrogate pair stands for no byte, and for no part of a secret either.
            data = text.encode(errors="replace")
        clean = Stream(self, self.counts, learns=False).flush(data)
        return text if clean == data else clean.decode(errors="surrogateescape")

    def patterns(self) -> Patterns:
        """What to look for, as known now; built when something has to be searched."""
        if self._patterns is None:
            self._patterns = patterns_of(self._secrets, tuple(self._masks))
        return self._patterns

    def learn(self, value: bytes) -> list[bytes]:
        """Hide this value too, from now on; the values that were news."""
        news = []
        for variant in dict.fromkeys((value, _unescaped(value), without_escapes(value))):
            if variant in self._masks:
                continue
            if len(self._masks) == MASKS_MOST:
                self._warn(f"more than {MASKS_MOST} masks: the rest is hidden in its own line only")
                break
            self._masks[variant] = None
            self._warn_of_weak("a value given with ::add-mask::", variant)
            news.append(variant)
            self._patterns = None
        return news

    def _warn_of_weak(self, what: str, value: bytes) -> None:
        if not is_hidden(value):
            self._warn(
                f"{what} is shorter than {LEAST_BYTES} characters or an everyday word: not redacted"
            )
        elif len(value.strip()) < WEAK_BYTES:
            self._warn(
                f"{what} is shorter than {WEAK_BYTES} characters: hiding it may hide other text"
            )

    def _warn(self, warning: str) -> None:
        if warning not in self.warnings:
            self.warnings.append(warning)


def _note_lines(
    first: dict[str, int], found: dict[str, int], text: bytes, start: int, before: int
) -> None:
    """Say of what was found at a place which line that is; `text` begins at `start`, behind so many
    line breaks.
    """
    for rule in first.keys() - found.keys():
        found[rule] = before + text.count(b"\n", 0, max(0, first[rule] - start)) + 1


def _unescaped(value: bytes) -> bytes:
    """What a mask stands for: line breaks in it are written as in any workflow command."""
    for written, meant in ((b"%0A", b"\n"), (b"%0D", b"\r"), (b"%25", b"%")):
        value = value.replace(written, meant)
    return value


class Stream:
    """One stream of bytes on its way through a redactor."""

    def __init__(
        self, redactor: StreamRedactor, counts: Counter[str], *, learns: bool = True
    ) -> None:
        self._redactor = redactor
        self._counts = counts
        self._learns = learns
        self.sees_escapes = True
        # Where in the stream each rule first struck.
        self.first: dict[str, int] = {}
        self._patterns: Patterns | None = None
        self._since: dict[bytes, int] = {}
        self._held = b""
        self._passed = 0  # bytes before those held
        self._hidden_to = -1  # where in the stream the last replaced part ends
        self._carried: list[Found] = []

    def feed(self, data: bytes | memoryview) -> bytes:
        """What can be said by now; `data` itself when there is nothing to change."""
        # Copied once: a MiB at a time, that is what reading it again would cost.
        text = self._held + data if self._held else bytes(data)
        return self._advance(text, final=False)

    def flush(self, data: bytes = b"") -> bytes:
        """The rest, and this last piece: nothing more will come."""
        return self._advance(self._held + data, final=True)

    def _advance(self, text: bytes, *, final: bool) -> bytes:
        if not text:
            # A step that says nothing, and the end of one that held nothing back: most of them.
            return b""
        scan = self._scan(text, final=final)
        if self._learns and self._learn(scan.masks):
            scan = self._scan(text, final=final)
        return self._emit(scan)

    def _scan(self, text: bytes, *, final: bool) -> Scan:
        scan = Scan(text, self._passed, self._since, final=final)
        scan.take_over(self._carried)
        self._patterns = self._patterns or self._redactor.patterns()
        self._patterns.search(scan)
        if ESCAPE in text and self.sees_escapes:
            visible = VisibleScan(text, self._passed, self._since, final=final)
            visible.take_over(self._carried)
            self._patterns.search(visible)
            scan.found += visible.found
            scan.hold = visible.held_from(scan.hold)
        return scan

    def _learn(self, masks: list[Mask]) -> bool:
        """Whether there is something new to look for, from the end of its line on."""
        learned = False
        for mask in sorted(masks, key=attrgetter("line_end")):
            for variant in self._redactor.learn(mask.value):
                self._since[variant] = self._passed + mask.line_end
                learned = True
        if learned:
            self._patterns = self._redactor.patterns()
        return learned

    def _emit(self, scan: Scan) -> bytes:
        """The text as far as it is decided, replaced where something was found."""
        text, hold = scan.text, scan.hold
        hidden = self._hidden_to
        if not scan.found and hidden <= 0:
            out = text if hold == len(text) else text[:hold]
        else:
            view = memoryview(text)  # so that the text is copied once, by `join`
            pieces: list[bytes | memoryview] = []
            scan.found.sort(key=_BY_PLACE)
            for found in scan.found:
                if found.start >= hold:
                    break
                if found.start > hidden:
                    pieces += (view[max(hidden, 0) : found.start], STARS)
                    self._counts[found.rule] += 1
                    self.first.setdefault(found.rule, self._passed + found.start)
                hidden = max(hidden, found.end)
            pieces.append(view[max(hidden, 0) : hold])
            out = b"".join(pieces)
        self._carried = [found.after(hold) for found in scan.found if found.reaches_over(hold)]
        self._hidden_to = hidden - hold
        self._passed += hold
        self._held = text[hold:]
        return out


_BY_PLACE = attrgetter("start", "order")
