"""Every form the reference promises, written into files by the tools people use, and taken out."""

import base64
import html
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus, urlencode

import pytest

from zf.redact.secret_forms import Secret
from zf.redact.stream import StreamRedactor

# Of every length modulo 3, from plain to hostile.
VALUES = {
    "word": "correct-horse-battery",
    "token": "tok3nWithUPPERandlower",
    "odd": "p@ss/w0rd?=&+%#<>;:,~*!()",
    "quotes": 'it\'s "quoted" `so` $HOME \\n',
    "wide": "pässwörd→秘密🔑",
    "lines": "first secret line\nsecond: secret {line}\n\tthird 'line'",
    "long": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" * 3,
    "weak": "hunter2",
}

# What a step may run; $V is the value, $0 the place of Python.
SHELL = {
    "echo": 'echo "$V"',
    "in a word": 'printf "x%sy" "$V"',
    "base64": 'printf %s "$V" | base64',
    "base64 after 1": 'printf "1%s" "$V" | base64',
    "base64 after 2": 'printf "22%s" "$V" | base64',
    "base64 inside": 'printf "user:%s@host and more" "$V" | base64',
    "base64 deep inside": 'printf "%070d%s%0100d" 1 "$V" 2 | base64',
    "base64 one line": 'printf "%s tail" "$V" | base64 -w0',
    "base64 narrow": 'printf "some words before %s" "$V" | base64 -w 32',
    "base64 CRLF": 'printf "before %s" "$V" | base64 | sed \'s/$/\\r/\'',
    "base64url": 'printf "ab%s" "$V" | basenc --base64url',
    "openssl": 'printf "abcdefg%s" "$V" | openssl base64',
    "xxd": 'printf "ab%s" "$V" | xxd -p',
    "xxd upper": 'printf "abc%s" "$V" | xxd -p -u',
    "xxd one line": 'printf %s "$V" | xxd -p -c0',
    "printf %q": 'printf %q "$V"',
    "set -x": 'set -x; : "$V"; : word"$V"',
    "declare": "declare -p V",
    "export": "export -p | grep -A5 V=",
    "jq": "jq -n '{a: env.V}'",
    "jq ascii": "jq -an '[env.V]'",
    "jq @uri": "jq -rn 'env.V | @uri'",
    "jq @html": "jq -rn 'env.V | @html'",
    "jq @sh": "jq -rn 'env.V | @sh'",
    "jq @base64": "jq -rn 'env.V | @base64'",
    "node uri": 'node -p "encodeURI(process.env.V)"',
    "node component": 'node -p "encodeURIComponent(process.env.V)"',
    "node json": 'node -p "JSON.stringify(process.env)"',
    "node hex": "node -p \"Buffer.from(process.env.V).toString('hex')\"",
    "perl hex": "perl -e 'print uc unpack \"H*\", $ENV{V}'",
    "repr": '"$0" -c "import os; print(os.environ)"',
    "repr of bytes": '"$0" -c "import os; print(os.environb[b\'V\'])"',
    "traceback": '"$0" -c "import os; raise KeyError(os.environ[\'V\'])" 2>&1',
}

PYTHON = {
    "quote": quote,
    "quote all": lambda text: quote(text, safe=""),
    "quote lower": lambda text: re.sub("%..", lambda m: m[0].lower(), quote(text, safe="")),
    "quote_plus": quote_plus,
    "form": lambda text: urlencode({"password": text}),
    "json": json.dumps,
    "json unicode": lambda text: json.dumps(text, ensure_ascii=False),
    "json upper": lambda text: re.sub(
        r"\\u(....)", lambda m: "\\u" + m[1].upper(), json.dumps(text)
    ),
    "json slashes": lambda text: json.dumps(text).replace("/", "\\/"),
    "json go": lambda text: (
        json.dumps(text, ensure_ascii=False)
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
    ),
    "html": html.escape,
    "html text": lambda text: html.escape(text, quote=False),
    "xml": lambda text: html.escape(text).replace("&#x27;", "&apos;"),
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "each line": lambda text: " / ".join(text.split("\n")),
}


def through_files(folder: Path, text: bytes, value: str) -> bytes:
    """The text as a step's log: read in pieces of any size, written redacted."""
    source, log = folder / "output", folder / "log"
    source.write_bytes(text)
    stream = StreamRedactor([Secret("V", value.encode())]).stream()
    pieces = random.Random(len(text))
    with source.open("rb") as given, log.open("wb") as kept:
        while piece := given.read(pieces.choice((1, 5, 60, 4096))):
            kept.write(stream.feed(piece))
        kept.write(stream.flush())
    return log.read_bytes()


def traces(value: str) -> Iterator[bytes]:
    """What must not be found any more: independent of the code, each line and encoding of it."""
    raw = value.encode()
    yield from (line.strip() for line in raw.split(b"\n"))
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for before in (b"", b"1", b"22"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(before + raw + b"\0" * (-len(before + raw) % 3))[4:-4]
    for text in value.split("\n"):
        for write in (quote_plus, lambda one: quote(one, safe=""), html.escape):
            yield write(text.strip()).encode()
        yield json.dumps(text.strip())[1:-1].encode()


def assert_gone(log: bytes, value: str) -> None:
    assert b"***" in log
    flat = re.sub(rb"\r?\n", b"", log)
    for trace in traces(value):
        if len(trace) >= 4:
            assert trace not in log
            assert trace not in flat


@pytest.mark.parametrize("kind", SHELL)
def test_what_a_shell_prints(tmp_path: Path, kind: str) -> None:
    tool = next((one for one in re.findall(r"[a-z0-9]+", SHELL[kind]) if one in TOOLS), "bash")
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    for name, value in VALUES.items():
        if name == "weak" and kind in BREAKING:
            continue
        done = subprocess.run(
            ["bash", "-c", SHELL[kind], sys.executable],
            env={"PATH": os.environ["PATH"], "V": value, "LC_ALL": "C.UTF-8"},
            capture_output=True,
            check=False,
        )
        assert_gone(through_files(tmp_path, done.stdout + done.stderr, value), value)


# Here the weak one's form is broken into lines, and too short to be found then.
BREAKING = ("base64 narrow", "base64 deep inside")
TOOLS = ("base64", "basenc", "openssl", "xxd", "jq", "node", "perl")


@pytest.mark.parametrize("kind", PYTHON)
def test_what_a_program_writes(tmp_path: Path, kind: str) -> None:
    for value in VALUES.values():
        text = f"<{PYTHON[kind](value)}>\n".encode()
        assert_gone(through_files(tmp_path, text, value), value)
        assert through_files(tmp_path, text, value).startswith((b"<", b'<"'))


@pytest.mark.parametrize("before", range(80))
def test_base64_and_hex_broken_anywhere(before: int) -> None:
    """Wherever the secret begins and the lines end, three characters of it are left at most."""
    for value in (VALUES["token"], "eleven-byte"):
        raw = b"-" * before + value.encode() + b"." * 80
        for coded in (base64.b64encode(raw), raw.hex().encode()):
            for width in (32, 60, 64, 76):
                stream = StreamRedactor([Secret("V", value.encode())]).stream()
                log = stream.feed(_broken(coded, width)) + stream.flush()
                assert_gone(log, value)
                assert len(re.sub(rb"[\r\n]", b"", log)) < 4 + len(coded) - len(value) * 4 / 3 + 5


def _broken(text: bytes, width: int) -> bytes:
    return b"\r\n".join(text[at : at + width] for at in range(0, len(text), width))


def test_a_pem_key_given_as_a_secret(tmp_path: Path) -> None:
    body = base64.encodebytes(random.Random(7).randbytes(1200)).decode()
    key = f"-----BEGIN EC PRIVATE KEY-----\n{body}-----END EC PRIVATE KEY-----\n"
    lines = [line for line in key.splitlines() if line]
    for text in (
        key,
        key.replace("\n", "\r\n"),
        "\n".join(f"2026-11-21T06:30:44Z web | {line}" for line in lines),
        json.dumps({"key": key}),
        base64.encodebytes(key.encode()).decode(),
        key.encode().hex(),
        " ".join(lines),
    ):
        log = through_files(tmp_path, text.encode(), key)
        assert b"***" in log
        for line in lines:
            assert line.encode() not in log
        assert len(log) < len(text) / 2


# What other runners mask, and how a value of their configuration comes to look so.
PEERS = {
    "single quotes doubled (YAML, SQL, PowerShell)": ("it's ~so~", "it''s ~so~"),
    "double quotes doubled (CSV, cmd)": ('say "so" now', 'say ""so"" now'),
    "an argument of a Windows program": ('a\\b "so" now', 'a\\b \\"so\\" now'),
    "carets of cmd": ("a&b|c<d>e%f", "a^&b^|c^<d^>e^%f"),
    "backticks of PowerShell": ('$cost "5" `now`', '`$cost `"5`" ``now``'),
    "PowerShell before an ampersand": ("before-it&after-it", "At char:1 before-it"),
    "PowerShell after an ampersand": ("before-it&after-it", "+ after-it"),
    "dollars of make": ("pa$$w0rd$", "pa$$$$w0rd$$"),
    "per cents of batch files": ("100%sure%", "100%%sure%%"),
    "XML in ASCII": ("sécret<ö>", "s&#233;cret&lt;&#246;&gt;"),
    "a tab in an attribute": ("a\tsecret", "a&#9;secret"),
    "a tab in an attribute, hexadecimal": ("a\tsecret'", "a&#x9;secret&#39;"),
    "repr beside another quote": ("it's mine", "it\\'s mine"),
    "in double quotes, printed without": ('"abc-word"', "abc-word"),
    "in single quotes, printed without": ("'abc-word'", "abc-word"),
    "in both, printed without": ("'\"abc-word\"'", "abc-word"),
    "in quotes, base64 of what is inside": ('"abc-words"', "YWJjLXdvcmRz"),
    "a line in quotes": ('first line\n"second one"', "second one"),
}


@pytest.mark.parametrize("form", PEERS)
def test_forms_that_other_runners_mask(form: str) -> None:
    value, written = PEERS[form]
    stream = StreamRedactor([Secret("V", value.encode())]).stream()
    log = (stream.feed(f"<{written}>".encode()) + stream.flush()).decode()
    assert "***" in log
    kept = log.strip("<>").replace("***", "")
    assert kept in {"", "At char:1 ", "+ "}, log


def test_an_everyday_word_in_quotes_stays() -> None:
    """Taking the quotes away must not make a secret of what is none."""
    stream = StreamRedactor([Secret("V", b'"true"')]).stream()
    assert stream.flush(b'true and "true"') == b"true and ***"
