"""The redactor against the oracle: any secrets, any text, any cutting into reads."""

import base64
import json
import random
import string
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.redact_oracle import PEM_MOST, redacted
from zf.redact.candidates import BREAK_LEAST_BYTES
from zf.redact.escapes import without_escapes
from zf.redact.secret_forms import (
    LEAST_BYTES,
    NEVER_SECRET,
    PIECE_BYTES,
    SECRET_NAME_GLOBS,
    WEAK_BYTES,
    WRAPPED_LEAST_BYTES,
    Secret,
    forms,
    is_secret_name,
    secrets_in,
)
from zf.redact.stream import MASKS_MOST, StreamRedactor
from zf.redact.token_rules import (
    JWT_HEADER_MOST_BYTES,
    MASK_MOST_BYTES,
    PEM_MOST_BYTES,
    RULES,
    URL_PASSWORD_MOST_BYTES,
    URL_USER_MOST_BYTES,
)
from zf.report.words import log_line, without_colour

KEY = b"-----BEGIN RSA PRIVATE KEY-----\n%s\n-----END RSA PRIVATE KEY-----"


def streamed(text: bytes, secrets: list[Secret], cuts: list[int]) -> tuple[bytes, dict[str, int]]:
    redactor = StreamRedactor(secrets)
    stream = redactor.stream()
    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [stream.feed(text[a:b]) for a, b in pairwise(bounds)]
    return b"".join([*pieces, stream.flush()]), redactor.counts


def check(text: bytes, secrets: list[Secret], cuts: list[int]) -> None:
    assert streamed(text, secrets, cuts) == redacted(text, secrets)
    redactor = StreamRedactor(secrets)
    assert redactor.holds_secret(text) == bool(redactor.lines((text,)))


# --- random cases ---


class Case:
    """A random set of secrets, and a text that holds them whole, broken and transformed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.secrets = [
            Secret(f"S{n}", self.value()) for n in range(self.random.choice((0, 1, 1, 2, 3, 6)))
        ]
        size = self.random.choice((1, 3, 6, 12))
        self.text = b"".join(self.piece() for _ in range(size))
        self.cuts = self.cutting()

    def value(self) -> bytes:
        r = self.random
        kind = r.randrange(10)
        if kind < 4:
            return self.chars(string.ascii_letters + string.digits, r.randint(4, 60))
        if kind == 4:
            return self.chars("ab", r.randint(4, 12)) * r.randint(1, 6)
        if kind == 5:
            return self.chars("+/=_-.~ %&?'\"\\<>$`!" + string.ascii_letters, r.randint(6, 30))
        if kind == 6:
            return "".join(r.choices("päß→😀x", k=r.randint(4, 10))).encode()
        if kind == 7:
            return r.choice(
                (r.randbytes(r.randint(4, 24)), bytes(r.choices(range(0xD6, 0xE1), k=9)))
            )
        if kind == 8:
            lines = [self.chars(string.ascii_letters, r.randint(1, 30)) for _ in range(4)]
            return r.choice((b"\n", b"\r\n")).join(lines) + r.choice((b"", b"\n"))
        if self.__dict__.get("secrets"):
            return self.secrets[0].value[2:] + self.chars("xyz", 4)
        return b"ghp_" + self.chars(string.ascii_letters, 36)

    def chars(self, alphabet: str, size: int) -> bytes:
        return "".join(self.random.choices(alphabet, k=size)).encode()

    def piece(self) -> bytes:
        r = self.random
        kind = r.randrange(12)
        if kind < 4 and self.secrets:
            return self.planted(r.choice(self.secrets).value)
        if kind < 6:
            return self.token()
        if kind == 6:
            return self.mask()
        if kind == 7:
            return r.choice((b"\n", b"\r\n", b" ", b"=", b"://", b"@", b'"', b"\r", b"-----"))
        if kind == 8:
            return r.choice(
                (r.randbytes(r.randint(0, 30)), bytes(r.choices(range(0xD6, 0xE1), k=9)))
            )
        if kind == 9:
            return base64.encodebytes(r.randbytes(r.randint(0, 200)))
        return self.chars("the error in line 12:\n", r.randint(0, 60))

    def planted(self, value: bytes) -> bytes:
        r = self.random
        known = forms(value) or forms(b"0123456789")
        form = r.choice(known)
        text = form.text
        kind = r.randrange(6)
        if kind == 0:
            return text[: r.randint(0, len(text))]
        if kind == 1:
            return text[r.randint(0, len(text)) :]
        if kind == 2:
            return text + text[r.randint(0, len(text)) :] + text
        if kind == 3:
            around = r.randbytes(r.randint(0, 90)) + value + r.randbytes(r.randint(0, 90))
            coded = r.choice((base64.b64encode(around), around.hex().encode()))
            width = r.choice((20, 32, 60, 64, 76))
            line_break = r.choice((b"\n", b"\r\n"))
            return line_break.join(coded[n : n + width] for n in range(0, len(coded), width))
        return text

    def token(self) -> bytes:
        r = self.random
        word = string.ascii_letters + string.digits
        prefix, alphabet, least = r.choice(
            (
                (b"ghp_", word, 36),
                (b"glpat-", word + "_-", 20),
                (b"AKIA", string.ascii_uppercase, 16),
                (b"xoxb-", word + "-", 16),
                (b"sk_live_", word, 16),
                (b"Authorization: Bearer ", word, 8),
                (b"aws_session_token \t= '", word, 16),
                (b'\\"secretAccessKey\\": \\"', word + "+/", 16),
                (b"eyJhbGci" + self.chars(word, 8) + b".", word, 8),
                (b"eyJ0eXAi" + self.chars(word + ".eyJ", 12), word, 8),
                (b"https://user:", word + "@", 1),
                (b"https://", word, 1),
            )
        )
        token = prefix + self.chars(alphabet, max(0, least + r.randint(-2, 4)))
        if prefix.startswith(b"http"):
            token += r.choice((b"@host/", b"@ho:st@x ", b"/@", b"", b" "))
        if r.random() < 0.2:
            token = KEY % token
        if r.random() < 0.2:
            token = token[: r.randint(0, len(token))]
        return token + r.choice((b"", b"", b"\n", b"."))

    def mask(self) -> bytes:
        r = self.random
        value = self.value() if r.random() < 0.7 or not self.secrets else self.secrets[0].value
        if r.random() < 0.3:
            value = value.replace(b"\n", b"%0A")
        line = r.choice((b"", b"+ ")) + b"::add-mask::" + value
        between = r.choice((b"\n", b"\r\n", b"", b" \n x " + value + b"\n"))
        return line + between + r.choice((b"", value, self.planted(value)))

    def cutting(self) -> list[int]:
        r = self.random
        size = len(self.text)
        kind = r.randrange(4)
        if kind == 0:
            return []
        if kind == 1:
            return list(range(size))
        return [r.randrange(size + 1) for _ in range(r.randint(1, 12))]


@pytest.mark.parametrize("block", range(5))
def test_500_random_cases_equal_the_oracle(block: int) -> None:
    for seed in range(block * 100, block * 100 + 100):
        case = Case(seed)
        check(case.text, case.secrets, case.cuts)


@pytest.mark.campaign
@pytest.mark.parametrize("block", range(100))
def test_10_000_random_cases_equal_the_oracle(block: int) -> None:
    for seed in range(1_000_000 + block * 100, 1_000_000 + block * 100 + 100):
        case = Case(seed)
        check(case.text, case.secrets, case.cuts)


ESCAPES = (
    *(b"\x1b[31m", b"\x1b[0m", b"\x1b[m\x1b[K", b"\x1b[38;5;196m", b"\x1b(B\x1b[m", b"\x1b[2K"),
    *(
        b"\x1b",
        b"\x1b[",
        b"\x1b[3",
        b"\x1b\x1b[0m[0m",
        b"\x1b]8;;x\x1b\\",
        b"\x1b[" + b"1;" * 40 + b"m",
    ),
)


def coloured(case: Case, seed: int) -> bytes:
    """The text with escapes in it, whole ones and others, also inside secrets and beside them."""
    r = random.Random(seed)
    text = case.text
    for _ in range(r.randint(1, 12)):
        at = r.randint(0, len(text))
        text = text[:at] + r.choice(ESCAPES) * r.choice((1, 1, 1, 3)) + text[at:]
    return text


@pytest.mark.parametrize("block", range(5))
def test_100_coloured_cases_equal_the_oracle(block: int) -> None:
    """What is seen once the escapes are gone holds no secret, however the text was cut."""
    for seed in range(block * 20, block * 20 + 20):
        case = Case(seed)
        text = coloured(case, seed)
        r = random.Random(-seed)
        for cuts in (
            [],
            list(range(0, len(text), 3)),
            sorted(r.sample(range(len(text) + 1), 3)) if len(text) > 3 else [],
        ):
            check(text, case.secrets, cuts)


def test_whatever_the_report_drops_redaction_looks_under() -> None:
    """No text that zf takes out of a line before it shows it may join what redaction saw apart."""
    r = random.Random(3)
    for _ in range(20_000):
        piece = "\x1b[" + "".join(r.choices("0123456789;:[m?K", k=r.randint(0, 8))) + "m"
        line = f"a{piece}b{piece}"
        assert without_colour(line) == line or without_escapes(line.encode()) == without_escapes(
            without_colour(line).encode()
        )
    value = "correct-horse-battery"
    redactor = StreamRedactor([Secret("V", value.encode())])
    for size in (1, 30, 60, 70, 200, 5000):
        line = redactor.text(f"a {value[:7]}\x1b[{'1' * size}m{value[7:]} b")
        assert value not in log_line(line)


def test_a_value_held_back_across_escapes_is_bounded() -> None:
    stream = StreamRedactor([Secret("V", b"correct-horse-battery")]).stream()
    out = stream.feed(b"correct-")
    for _ in range(3000):
        out += stream.feed(b"\x1b[31m" * 20)
    assert len(out) > 200_000


@given(
    data=st.data(),
    secrets=st.lists(st.text("ab\n", min_size=1, max_size=12), max_size=4),
    text=st.text("ab\n ", max_size=300),
)
def test_secrets_that_overlap_themselves_and_each_other(
    data: st.DataObject, secrets: list[str], text: str
) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8))
    check(text.encode(), [Secret(f"S{n}", one.encode()) for n, one in enumerate(secrets)], cuts)


# --- what is a secret ---


@pytest.mark.parametrize(
    "name", ["GITHUB_TOKEN", "github_token", "API_KEY", "MY_SECRETS", "PGPASSWORD", "Keyring"]
)
def test_a_name_that_tells_a_secret(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["PATH", "PWD", "HOME", "PASS", "USER", "AUTHOR"])
def test_a_name_that_tells_nothing(name: str) -> None:
    assert not is_secret_name(name)


def test_secrets_are_found_by_the_names_given_and_by_the_names_that_tell() -> None:
    environ = {
        "B_TOKEN": "b",
        "DSN": "postgres://",
        "PATH": "/bin",
        "EMPTY_KEY": "",
        "DB_X": "\udcff",
    }
    assert secrets_in(environ, ["DSN", "DB_*"]) == (
        Secret("B_TOKEN", b"b"),
        Secret("DB_X", b"\xff"),
        Secret("DSN", b"postgres://"),
    )


def test_the_value_of_a_secret_is_not_in_its_repr() -> None:
    assert repr(Secret("A", b"hunter2-hunter2")) == "Secret('A')"


@pytest.mark.parametrize(
    ("value", "hidden", "warning"),
    [
        (b"abc", False, "shorter than 4 characters"),
        (b" abc\n", False, "shorter than 4 characters"),
        (b"True", False, "everyday word"),
        (b"abcd", True, "shorter than 8 characters"),
        (b"abcdefg", True, "shorter than 8 characters"),
        (b"abcdefgh", True, None),
    ],
)
def test_short_values(value: bytes, hidden: bool, warning: str | None) -> None:
    redactor = StreamRedactor([Secret("A", value)])
    assert (redactor.text(f"<{value.decode().strip()}>") == "<***>") is hidden
    assert len(redactor.warnings) == (warning is not None)
    assert not warning or warning in redactor.warnings[0]
    assert not warning or redactor.warnings[0].startswith("secret A ")


# --- streams ---


def test_a_chunk_with_nothing_to_hide_comes_back_as_it_is() -> None:
    stream = StreamRedactor([Secret("A", b"hunter2-hunter2")]).stream()
    chunk = b"nothing to see here\n" * 100
    assert stream.feed(chunk) is chunk
    assert stream.feed(memoryview(chunk)) == chunk
    assert stream.flush() == b""


def test_nothing_is_held_back_at_the_end_of_an_ordinary_line() -> None:
    stream = StreamRedactor(
        [Secret("A", b"hunter2-hunter2"), Secret("B", b"a\nb\nc\nlong-enough")]
    ).stream()
    for line in (b"one\n", b"two 2\r\n", b"a path: /usr/bin/h:\n", b"https://example.org/\n"):
        assert stream.feed(line) == line


def test_a_line_that_ends_like_a_base64_form_begins_is_not_held_back() -> None:
    secret = b"correct-horse-9"
    stream = StreamRedactor([Secret("A", secret)]).stream()
    form = base64.b64encode(secret)
    for size in (1, 2, 3):
        assert stream.feed(b"x " + form[:size] + b"\n") == b"x " + form[:size] + b"\n"
    assert stream.feed(b"x " + form[:4] + b"\n") == b"x "
    assert stream.feed(form[4:] + b"\n") == b"***\n"


def test_what_could_become_a_secret_is_held_back_and_no_more() -> None:
    stream = StreamRedactor([Secret("A", b"hunter2-hunter2")]).stream()
    assert stream.feed(b"the hunter2-hunt") == b"the "
    assert stream.feed(b"ress\n") == b"hunter2-huntress\n"


def test_the_end_decides() -> None:
    stream = StreamRedactor([Secret("A", b"hunter2-hunter2")]).stream()
    assert stream.feed(b"the hunter2-hunter") + stream.flush() == b"the hunter2-hunter"


@pytest.mark.parametrize(
    "endless",
    [
        b"-----BEGIN PRIVATE KEY-----\n" + b"A" * 64 + b" ",
        b"eyJhbGci",
        b"ghp_",
        b"::add-mask::",
        b"://",
        b"://u:" + b"p" * 90,
        b"Authorization: Bearer ",
        b"hunter2-",
        b"aHVudGVyMi1odW50ZXIy\n",
    ],
)
def test_little_is_held_back_whatever_comes(endless: bytes) -> None:
    stream = StreamRedactor([Secret("A", b"hunter2-" * 200)]).stream()
    given = kept = 0
    for size in range(1, 400, 3):
        chunk = (endless * size)[:size]
        given += len(chunk)
        stream.feed(chunk)
        kept = max(kept, len(stream._held))
    assert kept <= 16_384 + len(endless)
    assert given > 4 * kept or kept < 16_384


def test_secrets_that_overlap_or_touch_become_one() -> None:
    redactor = StreamRedactor([Secret("A", b"abcdefgh"), Secret("B", b"efghijkl")])
    assert redactor.text("-abcdefghijkl-abcdefghabcdefgh-") == "-***-***-"
    assert redactor.counts == {"secret:A": 2}


def test_the_first_of_two_that_begin_together_is_counted() -> None:
    redactor = StreamRedactor([Secret("B", b"ghp_" + b"x" * 40), Secret("A", b"ghp_xxxx")])
    assert redactor.text("ghp_" + "x" * 50) == "***"
    assert redactor.counts == {"secret:B": 1}


def test_a_run_of_a_repeating_secret_is_one() -> None:
    redactor = StreamRedactor([Secret("A", b"00000000")])
    stream = redactor.stream()
    out = b"".join(stream.feed(b"0" * 50_000) for _ in range(5)) + stream.flush()
    assert (out, redactor.counts) == (b"***", {"secret:A": 1})


def test_a_secret_inside_a_long_run_of_another_is_not_jumped_over() -> None:
    secrets = [Secret("A", b"abababab"), Secret("B", b"xabababab" + b"ab" * 30 + b"y")]
    check(b"x" + b"ab" * 34 + b"y" + b"ab" * 5000 + b"y", secrets, [])
    check(b"xabab" + b"ab" * 5000 + b"y", secrets, [7, 90, 5000])
    secrets = [Secret("A", b"bba" * 5), Secret("B", b"bba" * 3)]
    check(b"a" + b"bba" * 3 + b"bb" + b"bba" * 400, secrets, [])
    check(b"abb" + b"bba" * 380, secrets, [])


def test_a_secret_of_several_lines_is_hidden_line_by_line_too() -> None:
    secret = Secret("A", b"first line\nno\nlast line\n")
    redactor = StreamRedactor([secret])
    assert redactor.text("first line\nno\nlast line\n") == "***\n"
    assert redactor.text("first line\r\nno\r\nlast line\r\n") == "***\r\n"
    assert redactor.text("> last line, no, first line") == "> ***, no, ***"


def test_a_long_value_is_hidden_whole() -> None:
    value = random.Random(4).randbytes(6_000).replace(b"\n", b"-").replace(b"\r", b"-")
    redactor = StreamRedactor([Secret("A", value)])
    for text in (
        value,
        base64.b64encode(value),
        base64.encodebytes(b"xy" + value),
        value.hex().encode(),
    ):
        stream = redactor.stream()
        out = b"".join(stream.feed(text[at : at + 700]) for at in range(0, len(text), 700))
        out += stream.flush()
        assert b"***" in out
        assert len(out) < 24


def test_a_long_value_of_wide_characters_is_cut_between_them() -> None:
    value = "€ä" * 1000
    assert StreamRedactor([Secret("A", value.encode())]).text(json.dumps(value)) == '"***"'


def test_bytes_that_look_like_halves_of_surrogates() -> None:
    secret = Secret("A", b"\xd8\xdc\xd8\xdc\xdf\xd9\xda\xdb")
    check(b"\xd9" * 11 + secret.value + b"\xdc\xd8" + secret.value, [secret], [3, 15, 20])
    check(b"a" + secret.value + b"\n", [secret], [])
    check(b"aa" + secret.value + b"\n", [secret], [])


# --- masks ---


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b"::add-mask::top-secret\nsee top-secret\n", b"::add-mask::***\nsee ***\n"),
        (b"top-secret\n::add-mask::top-secret\n", b"top-secret\n::add-mask::***\n"),
        (b"+ echo ::add-mask:: top-secret \r\ntop-secret", b"+ echo ::add-mask:: *** \r\n***"),
        (b"::add-mask::top-secret", b"::add-mask::***"),
        (b"::add-mask::\ntop-secret\n", b"::add-mask::\ntop-secret\n"),
        (b"::add-mask::abc\nabc\n", b"::add-mask::***\nabc\n"),
        (b"::add-mask::one line%0Atwo lines\ntwo lines\n", b"::add-mask::***\n***\n"),
        (b"::add-mask::100%25 safe\n100% safe 100%25 safe\n", b"::add-mask::***\n*** ***\n"),
        (b"::add-mask::top-secret\ndG9wLXNlY3JldA\n", b"::add-mask::***\n***A\n"),
        (b"::add-mask::aaaa-bbbb ::add-mask::cccc-dddd\ncccc-dddd\n", b"::add-mask::***\n***\n"),
    ],
)
def test_masks(given: bytes, expected: bytes) -> None:
    for size in (1, 2, 7, 1000):
        stream = StreamRedactor().stream()
        out = b"".join(stream.feed(given[at : at + size]) for at in range(0, len(given), size))
        assert out + stream.flush() == expected


def test_a_mask_is_known_to_later_streams_and_texts_but_not_to_other_tasks() -> None:
    redactor = StreamRedactor()
    assert redactor.stream().feed(b"::add-mask::top-secret\n") == b"::add-mask::***\n"
    assert redactor.stream().feed(b"top-secret\n") == b"***\n"
    assert redactor.text("top-secret") == "***"
    assert redactor.counts == {"add-mask": 1, "mask": 2}
    assert StreamRedactor().text("top-secret") == "top-secret"


def test_a_warning_comes_once() -> None:
    redactor = StreamRedactor()
    redactor.stream().feed(b"::add-mask::abcd\n::add-mask::efgh\n::add-mask::abcd\n")
    (warning,) = redactor.warnings
    assert warning.startswith("a value given with ::add-mask:: is shorter than 8 characters")


def test_a_text_teaches_no_mask() -> None:
    redactor = StreamRedactor()
    assert redactor.text("::add-mask::top-secret\ntop-secret") == "::add-mask::***\ntop-secret"
    assert redactor.text("top-secret") == "top-secret"


def test_too_long_a_mask_is_hidden_but_not_learned() -> None:
    value = b"0123456789" * 500
    check(b"::add-mask::" + value + b"\n" + value[:50] + b"\n", [], [9, 600, 4500])
    redactor = StreamRedactor()
    redactor.text("::add-mask::" + value.decode())
    assert redactor.counts == {"add-mask": 1}


def test_too_many_masks_are_hidden_but_not_learned() -> None:
    redactor = StreamRedactor()
    stream = redactor.stream()
    lines = b"".join(b"::add-mask::value-%d-\n" % number for number in range(MASKS_MOST + 1))
    assert stream.feed(lines) == b"::add-mask::***\n" * (MASKS_MOST + 1)
    assert stream.feed(b"value-%d-\n" % (MASKS_MOST - 1)) == b"***\n"
    assert stream.feed(b"value-%d-\n" % MASKS_MOST) == b"value-%d-\n" % MASKS_MOST
    assert redactor.warnings == ["more than 100 masks: the rest is hidden in its own line only"]


def test_a_mask_leaves_a_long_repetition_before_it_alone() -> None:
    check(b"abababab" * 40 + b"::add-mask::abababab\n" + b"abababab" * 400, [], [100, 400])


# --- fixed rules ---

WORD = "Zx0Yw1Vu2Ts3Rq4Po5Nm6Lk7Ji8Hg9Fe-Dc_Ba" * 3
ALNUM = WORD.replace("-", "").replace("_", "")
HEX = "0123456789abcdef" * 4
UPPER = "ABCDEFGH23456789" * 4


def tokens() -> Iterator[tuple[str, str, str, int, str]]:
    """Rule, what stands before the hidden part, hidden beginning, least more, characters."""
    for prefix in ("AKIA", "ASIA", "ABIA", "ACCA"):
        yield "aws-access-key", "", prefix, 16, UPPER
    for prefix in ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"):
        yield "github-token", "", prefix, 36, ALNUM
    yield "github-token", "", "github_pat_", 36, ALNUM
    for prefix in ("glpat-", "gldt-", "glrt-", "glrtr-", "glcbt-", "glptt-"):
        yield "gitlab-token", "", prefix, 20, WORD
    for letter in "bpaorsecd":
        yield "slack-token", "", f"xox{letter}-", 16, ALNUM
    yield "slack-token", "", "xapp-1-", 16, ALNUM
    yield "slack-token", "", "xoxe.xox", 16, ALNUM
    yield "slack-webhook", "https://", "hooks.slack.com/services/", 20, ALNUM
    for prefix in ("sk_live_", "rk_live_", "whsec_"):
        yield "stripe-key", "", prefix, 16, ALNUM
    yield "google-key", "", "AIza", 35, WORD
    yield "google-key", "", "GOCSPX-", 20, WORD
    yield "google-key", "", "ya29.", 20, WORD
    yield "npm-token", "//registry.example.org/:_authToken=", "", 8, ALNUM
    yield "npm-token", "", "npm_", 36, ALNUM
    yield "pypi-token", "", "pypi-AgE", 40, WORD
    for prefix in ("dckr_pat_", "dckr_oat_"):
        yield "docker-token", "", prefix, 20, WORD
    for prefix in ("sk-proj-", "sk-svcacct-", "sk-admin-"):
        yield "openai-key", "", prefix, 20, WORD
    yield "anthropic-key", "", "sk-ant-", 20, WORD
    for prefix in ("dop_v1_", "doo_v1_", "dor_v1_"):
        yield "digitalocean-token", "", prefix, 40, HEX
    for prefix in ("AccountKey=", "SharedAccessKey="):
        yield "azure-key", "", prefix, 40, ALNUM
    yield "atlassian-token", "", "ATATT3x", 40, WORD
    for prefix in ("hvs.", "hvb.", "hvr."):
        yield "vault-token", "", prefix, 24, WORD
    for prefix in ("shpat_", "shpca_", "shppa_", "shpss_"):
        yield "shopify-token", "", prefix, 32, HEX
    yield "age-key", "", "AGE-SECRET-KEY-1", 50, UPPER
    for sign in (": Bearer ", " =Basic ", '": "token ', '\\": \\"Bearer ', "' => 'Bearer%20"):
        yield "authorization", f"Authorization{sign}", "", 8, ALNUM
    for name in (
        *("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY", "aws_session_token"),
        *("AWS_SESSION_TOKEN", 'SecretAccessKey"', "secretAccessKey'"),
    ):
        yield "aws-secret", f"{name} = ", "", 16, ALNUM
    for key in [
        "alg",
        "typ",
        "kid",
        "cty",
        "enc",
        "zip",
        "jku",
        "jwk",
        "x5u",
        "x5c",
        "x5t",
        "epk",
        "iss",
        "sub",
        "aud",
        "ver",
    ]:
        header = base64.b64encode(f'{{"{key}"'.encode()).decode()
        yield "jwt", "", f"{header}abc.", 8, WORD
        yield "jwt", "", f"{header}.", 8, WORD


@pytest.mark.parametrize(
    ("rule", "before", "prefix", "least", "characters"),
    [pytest.param(*row, id=f"{row[0]}-{row[1]}{row[2]}") for row in tokens()],
)
def test_a_token_is_known_by_its_shape(
    rule: str, before: str, prefix: str, least: int, characters: str
) -> None:
    redactor = StreamRedactor()
    for lead in ("", "x", " =", "ab:"):
        token = prefix + characters[:least]
        assert redactor.text(f"{lead}{before}{token} tail") == f"{lead}{before}*** tail"
        short = f"{lead}{before}{token[:-1]} tail"
        assert redactor.text(short) == short
        stream = redactor.stream()
        fed = [stream.feed(byte.encode()) for byte in f"{lead}{before}{token}{characters[0] * 90}!"]
        assert b"".join(fed) == f"{lead}{before}***!".encode()
    assert redactor.counts == {rule: 8}


def test_every_rule_is_in_these_tests() -> None:
    anchors = {anchor.decode() for rule in RULES for anchor in rule.anchors}
    tested = "\n".join(before + prefix for _, before, prefix, _, _ in tokens())
    special = {"::add-mask::", "-----BEGIN ", "UTHORIZATION"}
    assert {anchor for anchor in anchors if anchor not in tested} == special


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
def test_private_keys(kind: str) -> None:
    key = f"-----BEGIN {kind}PRIVATE KEY-----\nMIIE\nabc=\n-----END {kind}PRIVATE KEY-----"
    assert StreamRedactor().text(f"a\n{key}\nb\n") == "a\n***\nb\n"
    assert StreamRedactor().text(json.dumps(key)) == '"***"'
    assert StreamRedactor().text("web | " + key.replace("\n", "\nweb | ")) == "web | ***"


@pytest.mark.parametrize("kind", ["PUBLIC KEY", "CERTIFICATE", "RSA PUBLIC KEY"])
def test_public_keys_stay(kind: str) -> None:
    text = f"-----BEGIN {kind}-----\nMIIE\n-----END {kind}-----\n"
    assert StreamRedactor().text(text) == text


def test_pgp_keys() -> None:
    key = "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOY\n-----END PGP PRIVATE KEY BLOCK-----"
    assert StreamRedactor().text(key) == "***"


def test_a_private_key_that_never_ends() -> None:
    begin = "-----BEGIN PRIVATE KEY-----"
    assert StreamRedactor().text(f"{begin}\nMIIE\nabc=") == "***"
    assert StreamRedactor().text(f"{begin}\nMIIE\n(and so on)") == "***(and so on)"


@pytest.mark.parametrize("surplus", [-1, 0, 1])
def test_a_private_key_at_the_bound(surplus: int) -> None:
    end = b"-----END PRIVATE KEY-----"
    body = (b"(!)" * PEM_MOST)[: PEM_MOST - len(end) - 27 + surplus]
    text = b"x -----BEGIN PRIVATE KEY-----" + body + end + b" y"
    check(text, [], [])
    check(text, [], [5, 100, 16_380, 16_384, 16_386, 16_390])
    assert (StreamRedactor().text(text.decode()) == "x *** y") is (surplus <= 0)


def test_a_jwt_header_at_the_bound() -> None:
    for size in (8183, 8184, 8185):
        text = b"eyJhbGci" + b"x" * size + b".abcdefgh"
        check(text, [], [3, 1000, 8190, 8195])
        assert (b"***" in streamed(text, [], [])[0]) is (size <= 8184)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://user:pw@host/", "https://user:***@host/"),
        ("postgres://u:p:q@ss@db:5432/x", "postgres://u:***@db:5432/x"),
        ("redis://:pw@host", "redis://:***@host"),
        ("ssh://git@github.com:22/x", None),
        ("http://localhost:3000/@vite/client", None),
        ("https://host/a:b@c", None),
        ('{"a": "http://b:1", "c": "d@e"}', None),
        ("user:pw@host", None),
        ("https://user:***@host/", None),
        ("https://u:" + "p" * 512 + "@h", "https://u:***@h"),
        ("https://u:" + "p" * 513 + "@h", None),
        ("https://" + "u" * 256 + ":p@h", "https://" + "u" * 256 + ":***@h"),
        ("https://" + "u" * 257 + ":p@h", None),
    ],
)
def test_passwords_in_urls(given: str, expected: str | None) -> None:
    assert StreamRedactor().text(given) == (expected or given)
    check(given.encode(), [], list(range(0, len(given), 3)))


def test_many_urls_and_addresses_in_one_read() -> None:
    line = b"https://a.example/x?y=z bob@example.org https://u:secret@h/ @@@@\n"
    check(line * 200, [], [5000])


# --- texts and files ---


def test_a_text_without_secrets_is_the_same_object() -> None:
    text = "nothing to see"
    assert StreamRedactor().text(text) is text


@pytest.mark.parametrize("odd", ["\udcff", "\x00", "💥", "\udc80\ud800", "a\ud800"])
def test_texts_that_are_no_proper_utf_8(odd: str) -> None:
    redactor = StreamRedactor([Secret("A", b"hunter2-hunter2")])
    assert redactor.text(odd) == odd
    assert redactor.text(f"{odd} hunter2-hunter2").endswith(" ***")


def test_a_secret_that_is_no_utf_8_is_found_in_a_text() -> None:
    redactor = StreamRedactor([Secret("A", b"\xff\xfe\xfd\xfc-binary")])
    assert redactor.text("a \udcff\udcfe\udcfd\udcfc-binary") == "a ***"


def test_searching_a_file_counts_nothing_as_hidden_and_learns_nothing() -> None:
    redactor = StreamRedactor([Secret("A", b"hunter2-hunter2")])
    found = redactor.lines([b"::add-mask::abcdefgh\nhunter2-hun", b"ter2 abcdefgh"])
    assert found == {"secret:A": 2, "add-mask": 1}
    assert not redactor.counts
    assert redactor.text("abcdefgh") == "abcdefgh"


@pytest.mark.parametrize(
    "text",
    [
        "https://user:top-secret@host/",
        "Authorization: Bearer abcdefghijkl",
        "aws_secret_access_key = 0123456789abcdefABCDEF",
        "::add-mask::top-secret",
        "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----",
    ],
)
def test_what_was_redacted_is_not_counted_again(text: str) -> None:
    once = StreamRedactor().text(text)
    again = StreamRedactor()
    assert "***" in once
    assert again.text(once) == once
    assert again.counts in ({}, {"add-mask": 1})


def test_a_token_without_end_is_hidden_without_growing() -> None:
    redactor = StreamRedactor()
    stream = redactor.stream()
    out = stream.feed(b"ghp_" + b"a" * 100)
    for _ in range(500):
        out += stream.feed(b"a" * 1000)
        assert len(stream._held) <= 8
    assert out + stream.feed(b" end") + stream.flush() == b"*** end"
    assert redactor.counts == {"github-token": 1}


# --- the reference page ---

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "redaction.md").read_text()


def test_the_page_names_every_rule_and_every_anchor() -> None:
    rows = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
    assert {row[0].strip("| `") for row in rows} == {rule.name for rule in RULES}
    for rule in RULES:
        text = " ".join(row[1] for row in rows if row[0].strip("| `") == rule.name)
        shown = "ENCODED" if rule.name == "jwt" else text
        for anchor in rule.anchors:
            plain = base64.b64decode(anchor)[2:-1] if shown == "ENCODED" else anchor
            assert plain.decode().lstrip("u") in text or plain == b"UTHORIZATION"


def test_the_page_has_the_numbers_of_the_code() -> None:
    prose = " ".join(PAGE.split())
    for number in (PEM_MOST_BYTES, JWT_HEADER_MOST_BYTES, MASK_MOST_BYTES, MASKS_MOST):
        assert str(number) in prose
    for number in (URL_USER_MOST_BYTES, URL_PASSWORD_MOST_BYTES, PIECE_BYTES):
        assert str(number) in prose
    assert f"fewer than {LEAST_BYTES} bytes" in prose
    assert f"{LEAST_BYTES} to {WEAK_BYTES - 1} bytes" in prose
    assert f"hex forms of {WRAPPED_LEAST_BYTES} characters" in prose
    assert f"of {BREAK_LEAST_BYTES} characters or more" in prose
    globs = ", ".join(f"`{glob}`" for glob in SECRET_NAME_GLOBS)
    assert globs in prose
    assert all(f"`{word.decode()}`" in prose for word in NEVER_SECRET)
