"""Secrets that have no name, known by their shape: the fixed rules of redaction, as a table.

A rule is tried where its anchor stands. It says what to hide, or that the text so far is too short
to tell; every length it looks ahead is bounded, so a stream is never held back for long.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from typing import Protocol

from zf.lean import lazy
from zf.lean.records import Struct
from zf.redact.scan import Scan

# The longest key in use (RSA with 16384 bits) takes 12.6 KB.
PEM_MOST_BYTES = 16_384
# A header with a certificate chain takes about 4 KB.
JWT_HEADER_MOST_BYTES = 8_192
MASK_MOST_BYTES = 4_096
URL_USER_MOST_BYTES = 256
URL_PASSWORD_MOST_BYTES = 512

ADD_MASK = b"::add-mask::"
_WORD = rb"A-Za-z0-9_-"
_ALNUM = rb"A-Za-z0-9"


class Rule(Protocol):
    """`anchors` are the fixed strings it begins with, of 4 bytes or more for those that the search
    finds; `body` is the class of the character that must follow, if that is known.
    """

    @property
    def name(self) -> str: ...
    @property
    def anchors(self) -> tuple[bytes, ...]: ...
    @property
    def body(self) -> bytes: ...

    def probe(self, scan: Scan, start: int, anchor: bytes) -> None:
        """Tell `scan` what of the text at `start`, where `anchor` stands, is to be hidden."""


_RUNS: dict[bytes, re.Pattern[bytes]] = {}


def run_of(body: bytes) -> re.Pattern[bytes]:
    """The pattern of a run of these characters, one object a class, so runs can be remembered."""
    if body not in _RUNS:
        _RUNS[body] = re.compile(b"[" + body + b"]*+")
    return _RUNS[body]


class Token(Struct, frozen=True):
    """An anchor and at least so many characters of a class: all of the run is the token."""

    name: str
    anchors: tuple[bytes, ...]
    body: bytes
    least: int

    def probe(self, scan: Scan, start: int, anchor: bytes) -> None:
        body = start + len(anchor)
        run = run_of(self.body)
        end = scan.run_end(run, body)
        if end - body >= self.least:
            scan.hide(start, end, self.name, start, run)
        elif scan.is_open(end):
            scan.wait(start)


class Assigned(Struct, frozen=True):
    """A value after a telling name: only the value is hidden.

    `head` is what may stand between.
    """

    name: str
    anchors: tuple[bytes, ...]
    head: re.Pattern[bytes]
    value: bytes
    least: int
    body: bytes = b""

    def probe(self, scan: Scan, start: int, anchor: bytes) -> None:
        after = start + len(anchor)
        head = self.head.match(scan.text, after)
        if head is not None:
            run = run_of(self.value)
            end = scan.run_end(run, head.end())
            if end - head.end() >= self.least:
                scan.hide(head.end(), end, self.name, start, run)
            elif scan.is_open(end):
                scan.wait(start)
        if not scan.final and _HEAD_BEGUN.match(scan.text, after):
            scan.wait(start)


class PrivateKey(Struct, frozen=True):
    """A PEM block: from its first line to its last, when that follows within the bound; else the
    first line and what may belong to a key after it.
    """

    name: str = "private-key"
    anchors: tuple[bytes, ...] = (b"-----BEGIN ",)
    body: bytes = b""

    def probe(self, scan: Scan, start: int, anchor: bytes) -> None:
        head = _PEM_HEAD.match(scan.text, start + len(anchor))
        if head is None:
            begun = _PEM_HEAD_BEGUN.match(scan.text, start + len(anchor))
            if begun is not None and scan.is_open(begun.end()):
                scan.wait(start)
            return
        most = start + PEM_MOST_BYTES
        end = scan.next_end(_PEM_END, head.end())
        if end is not None and end <= most:
            scan.hide(start, end, self.name, start)
        elif not scan.final and len(scan.text) < most:
            scan.wait(start)
        else:
            end = run_of(_PEM_BODY).match(scan.text, head.end(), most).end()  # type: ignore[union-attr] # the class may match nothing, so it always matches
            scan.hide(start, end, self.name, start)


_PEM_HEAD = lazy.pattern(rb"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_HEAD_BEGUN = lazy.pattern(rb"[A-Z0-9 -]{0,70}")
_PEM_END = lazy.pattern(rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_BODY = rb"A-Za-z0-9+/=\s\\"


class Jwt(Struct, frozen=True):
    """A JSON object in base64 that begins as headers of tokens do, a dot and what follows it."""

    name: str
    anchors: tuple[bytes, ...]
    body: bytes = rb"A-Za-z0-9_.-"
    after_dot: int = 8

    def probe(self, scan: Scan, start: int, anchor: bytes) -> None:
        dot = scan.run_end(run_of(_WORD), start + len(anchor))
        if dot - start > JWT_HEADER_MOST_BYTES:
            return
        if scan.is_open(dot):
            scan.wait(start)
        elif scan.text[dot : dot + 1] == b".":
            run = run_of(self.body)
            end = scan.run_end(run, dot + 1)
            if end - dot - 1 >= self.after_dot:
                scan.hide(start, end, self.name, start, run)
            elif scan.is_open(end):
                scan.wait(start)


_JWT_KEYS = (
    *("alg", "typ", "kid", "cty", "enc", "zip", "jku", "jwk", "x5u", "x5c", "x5t", "epk"),
    *("iss", "sub", "aud", "ver"),
)


class UrlPassword(Struct, frozen=True):
    """The password of `scheme://user:password@host`, up to the last `@` before path or query."""

    name: str = "url-password"
    anchors: tuple[bytes, ...] = (b"://",)
    body: bytes = b""

    def probe(self, scan: Scan, start: int, anchor: bytes) -> None:
        begun = _URL_BEGUN.match(scan.text, start + len(anchor))
        if begun is not None and scan.is_open(begun.end()):
            scan.wait(start)
            return
        found = _URL_PASSWORD.match(scan.text, start + len(anchor))
        if found is not None and found[1].strip(b"*"):
            scan.hide(found.start(1), found.end(1), self.name, start)


_URL_USER = rb'[^\s/?#:@"<>]{0,%d}+' % URL_USER_MOST_BYTES
_URL_PASSWORD = lazy.pattern(rb'%s:([^\s/?#"<>]{1,%d})@' % (_URL_USER, URL_PASSWORD_MOST_BYTES))
URL_WITH_PASSWORD = lazy.pattern(b"://" + _URL_PASSWORD.pattern)
URL_REACH_BYTES = URL_USER_MOST_BYTES + URL_PASSWORD_MOST_BYTES + 8
URL_PASSWORD = UrlPassword()
_URL_BEGUN = lazy.pattern(rb'%s(?::[^\s/?#"<>]{0,%d})?' % (_URL_USER, URL_PASSWORD_MOST_BYTES))


class MaskLine(Struct, frozen=True):
    """`::add-mask::VALUE`: the value is hidden here, and in every form from the next line on."""

    name: str = "add-mask"
    anchors: tuple[bytes, ...] = (ADD_MASK,)
    body: bytes = b""

    def probe(self, scan: Scan, start: int, anchor: bytes) -> None:
        first = start + len(anchor)
        newline = scan.text.find(b"\n", first)
        end = len(scan.text) if newline < 0 else newline
        if end - first > MASK_MOST_BYTES:
            scan.hide(first, end, self.name, start, run_of(rb"^\n"))
        elif newline < 0 and not scan.final:
            scan.wait(start)
        else:
            value = scan.text[first:end].strip()
            if value:
                at = first + scan.text[first:end].index(value)
                scan.hide(at, at + len(value), self.name, start)
                scan.learn(value, min(end + 1, len(scan.text)))


_QUOTE = rb"(?:\\?[\"'])?"
_BLANKS = rb"[ \t]{0,4}"
_EQUALS = rb"(?:=>|[:=])"
_ASSIGNS = lazy.pattern(_QUOTE + _BLANKS + _EQUALS + _BLANKS + _QUOTE)
_SCHEMES = rb"(?:[Bb]earer|[Bb]asic|[Tt]oken|BEARER|BASIC|TOKEN)"
_AUTHORIZES = lazy.pattern(_ASSIGNS.pattern + _SCHEMES + rb"(?:[ \t]{1,4}|%20)")
# Every beginning of either, and nothing after it.
_HEAD_BEGUN = lazy.pattern(
    rb"(?:\\|"
    + _QUOTE
    + _BLANKS
    + rb"(?:"
    + _EQUALS
    + _BLANKS
    + rb"(?:\\|"
    + _QUOTE
    + rb"[A-Za-z]{0,6}(?:%2?|[ \t]{0,4})))?)\Z"
)

# One row a kind of token, with the minimum its maker guarantees (or a little less). Adding one is
# a row here, a row in docs/reference/redaction.md and a row in the tests. Each anchor also costs
# time on every byte that is searched, the more the commoner its pairs of letters are.
RULES: tuple[Rule, ...] = (
    MaskLine(),
    PrivateKey(),
    URL_PASSWORD,
    Jwt("jwt", tuple(b2a_base64(b'{"%s"' % key.encode(), newline=False) for key in _JWT_KEYS)),
    Assigned(
        "authorization",
        (b"uthorization", b"UTHORIZATION"),
        _AUTHORIZES,
        rb"A-Za-z0-9._~+/=-",
        8,
    ),
    Assigned(
        "aws-secret",
        (
            b"aws_secret_access_key",
            b"AWS_SECRET_ACCESS_KEY",
            b"SecretAccessKey",
            b"secretAccessKey",
            b"aws_session_token",
            b"AWS_SESSION_TOKEN",
        ),
        _ASSIGNS,
        rb"A-Za-z0-9/+=",
        16,
    ),
    Token("aws-access-key", (b"AKIA", b"ASIA", b"ABIA", b"ACCA"), rb"A-Z0-9", 16),
    Token("github-token", (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"), _ALNUM, 36),
    Token("github-token", (b"github_pat_",), rb"A-Za-z0-9_", 36),
    Token(
        "gitlab-token",
        (
            b"glpat-",
            b"gldt-",
            b"glrt-",
            b"glrtr-",
            b"glcbt-",
            b"glptt-",
        ),
        rb"A-Za-z0-9_.-",
        20,
    ),
    Token(
        "slack-token",
        (b"xoxb-", b"xoxp-", b"xoxa-", b"xoxo-", b"xoxr-", b"xoxs-", b"xoxe-", b"xoxc-", b"xoxd-"),
        rb"A-Za-z0-9.%-",
        16,
    ),
    Token("slack-token", (b"xapp-1-", b"xoxe.xox"), rb"A-Za-z0-9.-", 16),
    Token("slack-webhook", (b"hooks.slack.com/services/",), rb"A-Za-z0-9_/-", 20),
    Token("stripe-key", (b"sk_live_", b"rk_live_", b"whsec_"), _ALNUM, 16),
    Token("google-key", (b"AIza",), _WORD, 35),
    Token("google-key", (b"GOCSPX-", b"ya29."), rb"A-Za-z0-9_.-", 20),
    Assigned("npm-token", (b"_authToken",), _ASSIGNS, rb"A-Za-z0-9_.~+/=-", 8),
    Token("pypi-token", (b"pypi-AgE",), _WORD, 40),
    Token("docker-token", (b"dckr_pat_", b"dckr_oat_"), _WORD, 20),
    Token("openai-key", (b"sk-proj-", b"sk-svcacct-", b"sk-admin-"), _WORD, 20),
    Token("anthropic-key", (b"sk-ant-",), _WORD, 20),
    Token("digitalocean-token", (b"dop_v1_", b"doo_v1_", b"dor_v1_"), rb"a-f0-9", 40),
    Token("azure-key", (b"AccountKey=", b"SharedAccessKey="), rb"A-Za-z0-9+/=", 40),
    Token("atlassian-token", (b"ATATT3x",), rb"A-Za-z0-9_=-", 40),
    Token("npm-token", (b"npm_",), _ALNUM, 36),
    Token("vault-token", (b"hvs.", b"hvb.", b"hvr."), _WORD, 24),
    Token("shopify-token", (b"shpat_", b"shpca_", b"shppa_", b"shpss_"), rb"A-Fa-f0-9", 32),
    Token("age-key", (b"AGE-SECRET-KEY-1",), rb"A-Z0-9", 50),
)

# Rules that go by what stands around a text, not by anything in it that its maker put there: names
# and addresses made up for a test look the same. Output loses a word by them; an artifact, and its
# task with it, is not given up for that.
SHAPES = frozenset({"url-password", "jwt", "authorization", "aws-secret", "add-mask"})
