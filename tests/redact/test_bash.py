"""What the real bash prints of random values, in every way it quotes: nothing of them stays."""

import os
import random
import subprocess

import pytest

from zf.redact.secret_forms import PIECE_BYTES, Secret, forms, is_hidden
from zf.redact.stream import StreamRedactor

# Each ends its piece with a line that says where the next begins.
WAYS = {
    "set -x of arguments": 'set -x; : "$V"; : "word$V" "$V word"',
    "set -x of assignments": 'set -x; x="$V"; y="a $V"; z="$V" :',
    "set -x of tests": 'set -x; [[ $V == "" ]] || :; case "$V" in x) ;; esac; for w in "$V"; do :; done',
    "printf %q": 'printf "%q\\n" "$V" "a$V" "$V b"',
    "declare -p": 'declare -p V; x="pre $V"; declare -p x',
    "declare -p of arrays": 'a=("$V" "x$V"); declare -p a; declare -A b=(["$V"]="$V"); declare -p b',
    "export -p": "export -p",
    "set": "set",
    "@Q": 'printf "%s\\n" "${V@Q}"',
    "@A": 'printf "%s\\n" "${V@A}"',
    "@K": 'a=("$V"); printf "%s\\n" "${a[@]@K}"',
    "alias": 'alias a="$V"; alias a',
    "trap": 'trap -- "$V" USR1; trap -p USR1',
    "dash": 'command -v dash >/dev/null && dash -c \'set -x; : "$V"; export -p; x="$V"\' || echo "$V"',
}
ALPHABETS = (
    "abcXYZ019",
    "ab \t'\"\\$`",
    "".join(map(chr, range(0x20, 0x7F))),
    "".join(map(chr, range(1, 0x80))),
    "aä→🔑\u200b\u00a0\ue000\x85",
    "#~=:!{}[]*?^,;&|<>()-ab",
    "\x1b\a\b\f\v\r\tab",
)


def values() -> list[bytes]:
    rng = random.Random(11)
    found = [b"\x1b\x07\x08 word12", b"#begins so", b"~root/x", b"a=~b:~c", b"\x80\xbfabc\xff'"]
    for alphabet in ALPHABETS:
        for size in (8, 13, 40):
            made = "".join(rng.choice(alphabet) for _ in range(size)).encode()
            found.append(made)
    found += [bytes(rng.choice(range(1, 256)) for _ in range(size)) for size in (8, 16, 60)]
    return [value for value in found if is_hidden(value)]


MARK = "== next =="


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_what_bash_quotes_is_hidden(locale: str) -> None:
    """Bash's own escapes are read back: what is left must not hold the value any more."""
    script = "".join(f"( {way}\n)\necho == 'next' ==\n" for way in WAYS.values())
    for value in values():
        env = {b"PATH": os.environb[b"PATH"], b"V": value, b"LC_ALL": locale.encode()}
        done = subprocess.run(
            ["bash", "-c", f"exec 2>&1\n{script}"], env=env, stdout=subprocess.PIPE, check=False
        )
        stream = StreamRedactor([Secret("V", value)]).stream()
        logs = (stream.feed(done.stdout) + stream.flush()).split(MARK.encode())
        for way, log, said in zip(WAYS, logs, done.stdout.split(MARK.encode()), strict=False):
            assert b"***" in log, (way, value, said)
            assert value.strip() not in log, (way, value, said)
            for part in (value.strip(), *value.split()):
                if len(part) >= 6:
                    assert part not in _read_back(log), (way, value, said)


def _read_back(log: bytes) -> bytes:
    r"""The log with the escapes of `$'...'` read, and those of backslashes dropped."""
    read, at = bytearray(), 0
    while at < len(log):
        if log[at] != 0x5C or at + 1 == len(log):
            read.append(log[at])
            at += 1
        elif log[at + 1 : at + 2] in b"01234567":
            digits = log[at + 1 : at + 4]
            read.append(
                int(digits, 8) & 0xFF
                if digits.isdigit() and b"8" not in digits and b"9" not in digits
                else log[at + 1]
            )
            at += 4
        else:
            known = {b"E": 27, b"a": 7, b"b": 8, b"f": 12, b"n": 10, b"r": 13, b"t": 9, b"v": 11}
            following = log[at + 1 : at + 2]
            read.append(known.get(following, following[0]))
            at += 2
    return bytes(read)


def test_secrets_of_any_bytes_and_any_length_are_hidden() -> None:
    """Cut into pieces or not, whatever its bytes: no crash, no empty form, and nothing stays."""
    rng = random.Random(5)
    alphabets = [bytes(range(256)), bytes(range(0x80, 0xC0)), b"\x80", b"ab\x80", "ä→🔑".encode()]
    starts = (b"", b"\x80", b"\xbf\xbf", b"\x80\x80\x80\x80\x80", b"a\x80", b"\xc3")
    for size in (9, PIECE_BYTES, PIECE_BYTES + 1, PIECE_BYTES + 9, 3000):
        for alphabet in alphabets:
            for start in rng.sample(starts, 2):
                value = (start + bytes(rng.choices(alphabet, k=size)))[:size]
                if not is_hidden(value):
                    continue
                assert all(len(form.text) >= 4 for form in forms(value) if value.strip() == value)
                redactor = StreamRedactor([Secret("V", value)])
                stream = redactor.stream()
                log = stream.feed(b"<" + value + b">") + stream.flush()
                assert value.strip() not in log
                assert len(log) <= 16 + len(value) - len(value.strip())
