"""What a secret is, and every form its value is looked for in.

Which names make a variable secret, and how a value looks after the encodings that commands put it
through. `secret_search.py` finds the forms in a text.
"""

from __future__ import annotations

import re
from _json import encode_basestring, encode_basestring_ascii
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import translate
from functools import lru_cache
from typing import Any

from zf.lean import lazy
from zf.lean.records import Struct

# A passed variable whose name matches one of these holds a secret, whatever the letter case.
SECRET_NAME_GLOBS = (
    "*TOKEN*",
    "*SECRET*",
    "*PASSWORD*",
    "*KEY*",
    "*PASSWD*",
    "*PASSPHRASE*",
)

# Below the first, a value is so likely to occur by chance that hiding it would take half of the log
# with it; below the second it is hidden, and the user hears that it may hide other text too.
LEAST_BYTES = 4
WEAK_BYTES = 8
# Values of flags rather than secrets; hiding them everywhere would make a log unreadable.
NEVER_SECRET = frozenset({b"true", b"false", b"null", b"none"})
# Longer values are looked for in pieces of this size, which overlap by more than a character and a
# group of base64 take together, so that nothing between two pieces stays visible.
PIECE_BYTES = 1024
_OVERLAP_BYTES = 8
# Shorter encoded forms cannot be looked for across line breaks: see `candidates.Sought`.
WRAPPED_LEAST_BYTES = 13


def is_secret_name(name: str, globs: Iterable[str] = SECRET_NAME_GLOBS) -> bool:
    """Whether a variable of this name holds a secret; letter case does not matter."""
    return _any_of(tuple(globs))(name.upper()) is not None


@lru_cache(maxsize=64)
def _any_of(globs: tuple[str, ...]) -> Callable[[str], Any]:
    """What finds out whether one of these matches."""
    # One that matches nothing goes with them: nothing at all would match everything.
    return re.compile("|".join(["(?!)", *(translate(glob.upper()) for glob in globs)])).match


class Secret(Struct, frozen=True):
    """A value that must not be seen. `name` appears in counts and warnings, the value never."""

    name: str
    value: bytes

    def __repr__(self) -> str:
        return f"Secret({self.name!r})"


def secrets_in(environ: Mapping[str, str], globs: Iterable[str] = ()) -> tuple[Secret, ...]:
    """The variables that hold secrets: by the names given, or by `SECRET_NAME_GLOBS`."""
    wanted = (*globs, *SECRET_NAME_GLOBS)
    return tuple(
        Secret(name, value.encode(errors="surrogateescape"))
        for name, value in sorted(environ.items())
        if value and is_secret_name(name, wanted)
    )


def is_hidden(value: bytes) -> bool:
    """Whether a value is long and odd enough to be hidden wherever it occurs."""
    core = value.strip()
    return len(core) >= LEAST_BYTES and core.lower() not in NEVER_SECRET


class Form(Struct, frozen=True):
    """One way a secret can look. `wraps`: line breaks may have been put into it by an encoder."""

    text: bytes
    wraps: bool

    def __repr__(self) -> str:
        return "Form()"  # it is the secret


@lru_cache(maxsize=512)
def forms(value: bytes) -> tuple[Form, ...]:
    """Every form of a value, each once; nothing for a value that cannot be hidden."""
    found: dict[bytes, bool] = {}
    core = value.strip()
    for whole in filter(is_hidden, _unquoted(core)):
        for variant in _line_break_variants(whole):
            for piece in _pieces(variant):
                found.update(dict.fromkeys(_written(piece), False))
                for encoded in _encoded(piece):
                    found.setdefault(encoded, len(encoded) >= WRAPPED_LEAST_BYTES)
    parts = [part for line in _lines(core) for part in _unquoted(line) if is_hidden(part)]
    for part in (*parts, *_between_ampersands(core)):
        for piece in _pieces(part):
            for written in _written(piece):
                found.setdefault(written, False)
    return tuple(Form(text, wraps) for text, wraps in found.items())


def _unquoted(core: bytes) -> Iterator[bytes]:
    """The value, and what a program makes of it that takes the quotes around it away."""
    yield core
    while len(core) > 2 and core[:1] == core[-1:] and core[:1] in _QUOTES:
        core = core[1:-1].strip()
        yield core


_QUOTES = (b'"', b"'")


def _between_ampersands(core: bytes) -> list[bytes]:
    """PowerShell shows the part of a command around `&` only when it tells of a mistake."""
    parts = [part.strip() for part in core.split(b"&")]
    return [part for part in parts if len(part) >= WEAK_BYTES] if len(parts) > 1 else []


def _pieces(core: bytes) -> list[bytes]:
    """A long value in overlapping pieces, so that no form is longer than a stream may hold back."""
    if len(core) <= PIECE_BYTES:
        return [core]
    last = len(core) - PIECE_BYTES
    starts = [*range(0, last, PIECE_BYTES - _OVERLAP_BYTES), last]
    return [core[_cut(core, at) : _cut(core, at + PIECE_BYTES)] for at in starts]


def _cut(core: bytes, at: int) -> int:
    """Here, or up to three bytes before, where no character of UTF-8 is torn; bytes that are no
    UTF-8 are cut here.
    """
    if at == len(core):
        return at
    inside = (back for back in range(min(4, at)) if core[at - back] & 0xC0 != 0x80)
    return at - next(inside, 0)


def _line_break_variants(core: bytes) -> tuple[bytes, ...]:
    """A terminal turns LF into CRLF, and a file from elsewhere has CRLF to begin with."""
    if b"\n" not in core:
        return (core,)
    unix = core.replace(b"\r\n", b"\n")
    return (core, unix, unix.replace(b"\n", b"\r\n"))


def _lines(value: bytes) -> list[bytes]:
    lines = [line.strip() for line in re.split(rb"[\r\n]+", value.strip())]
    return lines if len(lines) > 1 else []


def _encoded(core: bytes) -> Iterator[bytes]:
    """Base64 at its three alignments, in both alphabets, and hex in both cases.

    Only the characters that depend on nothing but the secret: its neighbours share the first and
    the last one with it.
    """
    for before in range(3):
        first = -(-before * 8 // 6)
        last = (before + len(core)) * 8 // 6
        text = b2a_base64(bytes(before) + core, newline=False)[first:last]
        yield text
        yield text.translate(_URL_ALPHABET)
    yield core.hex().encode()
    yield core.hex().upper().encode()


_URL_ALPHABET = bytes.maketrans(b"+/", b"-_")


def _written(core: bytes) -> Iterator[bytes]:
    """As it is, and as it looks inside URLs, markup, shell words and literals of languages."""
    yield core
    if not core.translate(None, _UNRESERVED):
        return
    yield repr(core)[2:-1].encode()
    yield repr(core + _BOTH_QUOTES)[2:-4].encode()
    for kept in _KEPT_IN_URLS:
        for digits in "%{:02X}", "%{:02x}":
            written = [chr(byte) if byte in kept else digits.format(byte) for byte in core]
            yield "".join(written).encode()
            yield "".join(written).replace("%20", "+").encode()
    # Bytes that are no UTF-8 stay themselves on the way, as they do in a program.
    text = core.decode(errors="surrogateescape")
    for write in _WRITERS:
        yield write(text).encode(errors="surrogateescape")


# What makes `repr` put a backslash before each single quote, as it does inside a longer text.
_BOTH_QUOTES = b"'\""
# Which characters stay as they are differs: Python's urllib without and with `/`, forms, and
# JavaScript's encodeURIComponent and encodeURI.
_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._"
_KEPT_IN_URLS = (
    _UNRESERVED + b"~",
    _UNRESERVED + b"~/",
    _UNRESERVED + b"*",
    _UNRESERVED + b"~!'()*",
    _UNRESERVED + b"~!'()*;,/?:@&=+$#",
)


def _json(text: str) -> str:
    return encode_basestring_ascii(text)[1:-1]


def _json_unicode(text: str) -> str:
    return encode_basestring(text)[1:-1]


def _upper_escapes(text: str) -> str:
    return re.sub(r"\\u[0-9a-f]{4}", lambda match: "\\u" + match[0][2:].upper(), text)


def _json_in_html(text: str) -> str:
    """What Go and others do to JSON so that it may stand inside HTML."""
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _html(text: str, quote: str = '"', apostrophe: str = "'") -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace('"', quote).replace("'", apostrophe)


def _ansi_c(text: str, kept: Callable[[str], bool], escape: str = "\\E") -> str:
    """Inside `$'...'` of a shell; which characters beyond ASCII are kept depends on the locale."""
    shown = []
    for char in text:
        if char in _ANSI_C:
            shown.append(_ANSI_C[char])
        elif char == "\x1b":
            shown.append(escape)
        elif " " <= char <= "~" or (char > "\x7f" and kept(char)):
            shown.append(char)
        else:
            shown += [f"\\{byte:03o}" for byte in char.encode(errors="surrogateescape")]
    return "".join(shown)


_ANSI_C = {
    "\\": "\\\\",
    "'": "\\'",
    "\a": "\\a",
    "\b": "\\b",
    "\t": "\\t",
    "\n": "\\n",
    "\v": "\\v",
    "\f": "\\f",
    "\r": "\\r",
}


def _is_byte(char: str) -> bool:
    """Whether it stands for a byte that is no UTF-8."""
    return "\udc80" <= char <= "\udcff"


def _is_wide(char: str) -> bool:
    return char > "\x9f" and not _is_byte(char)


def _backslashed(text: str) -> str:
    """As bash's `printf %q` writes it inside a word."""
    return _SPECIAL.sub(r"\\\1", text)


def _xml(text: str, tab: str) -> str:
    """As it stands in an attribute of a document that is written in ASCII."""
    for char in "\t\r\n":
        text = text.replace(char, tab.format(ord(char)))
    return text.encode("ascii", "xmlcharrefreplace").decode()


_SPECIAL = lazy.pattern(r"([ \t\"'\\|&;()<>!{}*\[?\]^$`,])")
_WRITERS: tuple[Callable[[str], str], ...] = (
    _json,
    _json_unicode,
    lambda text: _upper_escapes(_json(text)),
    lambda text: _json(text).replace("/", "\\/"),
    lambda text: _json_unicode(text).replace("/", "\\/"),
    lambda text: _json_in_html(_json(text)),
    lambda text: _json_in_html(_json_unicode(text)),
    lambda text: _upper_escapes(_json_in_html(_json(text))),
    _html,
    lambda text: _html(text, "&quot;"),
    lambda text: _html(text, "&quot;", "&#x27;"),
    lambda text: _html(text, "&quot;", "&#39;"),
    lambda text: _html(text, "&quot;", "&apos;"),
    lambda text: _html(text, "&#34;", "&#39;"),
    lambda text: _xml(_html(text), "&#{};"),
    lambda text: _xml(_html(text, "&quot;"), "&#{};"),
    lambda text: _xml(_html(text, "&quot;", "&apos;"), "&#x{:X};"),
    lambda text: _xml(_html(text, "&#34;", "&#39;"), "&#x{:X};"),
    # Shells.
    lambda text: text.replace("'", "'\\''"),
    lambda text: text.replace("'", "'\"'\"'"),
    lambda text: re.sub(r"([^A-Za-z0-9_@%+=:,./~\n-])", r"\\\1", text),
    _backslashed,
    lambda text: re.sub(r"(?<=[:=])~", r"\\~", _backslashed(text)),
    lambda text: re.sub(r"(?<=[:=])~|^[~#]", r"\\\g<0>", _backslashed(text)),
    lambda text: re.sub(r"([$`\"\\])", r"\\\1", text),
    lambda text: _ansi_c(text, lambda _: False),
    lambda text: _ansi_c(text, lambda _: False, "\\033"),
    lambda text: _ansi_c(text, str.isprintable),
    lambda text: _ansi_c(text, _is_wide),
    lambda text: _ansi_c(text, lambda char: not _is_byte(char)),
    # Windows: arguments of programs, cmd, PowerShell.
    lambda text: text.replace('"', '\\"'),
    lambda text: text.replace('"', '""'),
    lambda text: re.sub(r"([&|<>^()%!\"])", r"^\1", text),
    lambda text: re.sub(r"([`$\"])", r"`\1", text),
    # Single quotes of YAML, SQL and PowerShell; make, compose files; batch files, crontabs, printf.
    lambda text: text.replace("'", "''"),
    lambda text: text.replace("$", "$$"),
    lambda text: text.replace("%", "%%"),
    # Literals.
    lambda text: repr(text)[1:-1],
    lambda text: repr(text + "'\"")[1:-4],
)
