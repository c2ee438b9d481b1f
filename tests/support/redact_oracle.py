"""What redaction means, on a whole text at once: slow, and written to be checked by reading.

Shares the list of forms with the code, and nothing else: the rules are written again, as one
regular expression each, and everything is tried at every place of the text.
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from zf.redact.secret_forms import Secret, forms

# {"alg", {"typ", {"kid" and so on.
JWT_KEYS = (
    rb"hbGci|0eXAi|raWQi|jdHki|lbmMi|6aXAi|qa3Ui|qd2si|4NXUi|4NWMi|4NXQi|lcGsi"
    rb"|pc3Mi|zdWIi|hdWQi|2ZXIi"
)
# In the order that decides which rule is counted when two begin at the same place.
RULES: list[tuple[str, bytes]] = [
    ("url-password", rb'://[^\s/?#:@"<>]{0,256}:(?P<hide>[^\s/?#"<>]{1,512})@'),
    ("jwt", rb"(?P<hide>eyJ(?:%s)[A-Za-z0-9_-]{0,8184}\.[A-Za-z0-9_.-]{8,})" % JWT_KEYS),
    (
        "authorization",
        (
            rb"(?:uthorization|UTHORIZATION)(?:\\?[\"'])?[ \t]{0,4}(?:=>|[:=])[ \t]{0,4}(?:\\?[\"'])?"
            rb"(?:[Bb]earer|[Bb]asic|[Tt]oken|BEARER|BASIC|TOKEN)(?:[ \t]{1,4}|%20)"
            rb"(?P<hide>[A-Za-z0-9._~+/=-]{8,})"
        ),
    ),
    (
        "aws-secret",
        (
            rb"(?:aws_secret_access_key|AWS_SECRET_ACCESS_KEY|[Ss]ecretAccessKey"
            rb"|aws_session_token|AWS_SESSION_TOKEN)"
            rb"(?:\\?[\"'])?[ \t]{0,4}(?:=>|[:=])[ \t]{0,4}(?:\\?[\"'])?(?P<hide>[A-Za-z0-9/+=]{16,})"
        ),
    ),
    ("aws-access-key", rb"(?P<hide>(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16,})"),
    ("github-token", rb"(?P<hide>gh[pousr]_[A-Za-z0-9]{36,})"),
    ("github-token", rb"(?P<hide>github_pat_[A-Za-z0-9_]{36,})"),
    (
        "gitlab-token",
        (
            rb"(?P<hide>(?:glpat|gldt|glrt|glrtr|glcbt|glptt)"
            rb"-[A-Za-z0-9_.-]{20,})"
        ),
    ),
    ("slack-token", rb"(?P<hide>xox[bpaorsecd]-[A-Za-z0-9.%-]{16,})"),
    ("slack-token", rb"(?P<hide>(?:xapp-1-|xoxe\.xox)[A-Za-z0-9.-]{16,})"),
    ("slack-webhook", rb"(?P<hide>hooks\.slack\.com/services/[A-Za-z0-9_/-]{20,})"),
    ("stripe-key", rb"(?P<hide>(?:[sr]k_(?:live|test)_|whsec_)[A-Za-z0-9]{16,})"),
    ("google-key", rb"(?P<hide>AIza[A-Za-z0-9_-]{35,})"),
    ("google-key", rb"(?P<hide>(?:GOCSPX-|ya29\.)[A-Za-z0-9_.-]{20,})"),
    ("npm-token", rb"(?P<hide>npm_[A-Za-z0-9]{36,})"),
    (
        "npm-token",
        rb"_authToken(?:\\?[\"'])?[ \t]{0,4}(?:=>|[:=])[ \t]{0,4}(?:\\?[\"'])?(?P<hide>[A-Za-z0-9_.~+/=-]{8,})",
    ),
    ("pypi-token", rb"(?P<hide>pypi-AgE[A-Za-z0-9_-]{40,})"),
    ("docker-token", rb"(?P<hide>dckr_[po]at_[A-Za-z0-9_-]{20,})"),
    ("openai-key", rb"(?P<hide>sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,})"),
    ("anthropic-key", rb"(?P<hide>sk-ant-[A-Za-z0-9_-]{20,})"),
    ("digitalocean-token", rb"(?P<hide>do[por]_v1_[a-f0-9]{40,})"),
    ("azure-key", rb"(?:Account|SharedAccess)Key=(?P<hide>[A-Za-z0-9+/=]{40,})"),
    ("vault-token", rb"(?P<hide>hv[sbr]\.[A-Za-z0-9_-]{24,})"),
    ("shopify-token", rb"(?P<hide>shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32,})"),
    ("atlassian-token", rb"(?P<hide>ATATT3x[A-Za-z0-9_=-]{40,})"),
    ("age-key", rb"(?P<hide>AGE-SECRET-KEY-1[A-Z0-9]{50,})"),
]
PEM_BEGIN = rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
PEM_END = rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
PEM_MOST = 16_384
MASK = b"::add-mask::"
MASK_MOST = 4_096
MASKS_MOST = 100
ESCAPE = re.compile(rb"\x1b(?:\[[0-?]{0,64}[ -/]{0,4}[@-~]|[()*+][0-9A-Za-z])")
# What goes on as long as its characters do takes the escapes after it along.
RUNS = {name for name, _ in RULES} - {"url-password"}


def redacted(text: bytes, secrets: Sequence[Secret]) -> tuple[bytes, Counter[str]]:
    """The text with everything hidden, and how many replacements each rule is counted for."""
    masks = _masks(text)
    matches = [
        (start, order, end, name)
        for order, (name, found) in enumerate(_all_matches(text, secrets, masks))
        for start, end in found
    ]
    if ESCAPE.search(text):
        matches += _seen(text, secrets, masks)
    hidden = bytearray(len(text))
    for start, _, end, _ in matches:
        hidden[start:end] = b"\1" * (end - start)
    first = {start: name for start, _, _, name in sorted(matches, reverse=True)}
    counts = Counter(first[match.start()] for match in re.finditer(b"\1+", hidden))
    shown = re.sub(
        b"(?s)\1+|\0+", lambda m: b"***" if m[0][:1] == b"\1" else text[m.start() : m.end()], hidden
    )
    return shown, counts


def _seen(text, secrets, masks):
    """The same in the text without escapes, each match told by its place in the whole."""
    kept = [True] * len(text)
    for escape in ESCAPE.finditer(text):
        kept[escape.start() : escape.end()] = [False] * len(escape[0])
    places = [place for place, is_kept in enumerate(kept) if is_kept] + [len(text)]
    seen = bytes(text[place] for place in places[:-1])
    since = {value: sum(place < at for place in places[:-1]) for value, at in masks[1].items()}
    own = (_masks(seen)[0], since)
    for order, (name, found) in enumerate(_all_matches(seen, secrets, own)):
        for start, end in found:
            last = places[end] if name in RUNS else places[end - 1] + 1
            yield places[start], order, last, name


def _all_matches(text, secrets, found_masks):
    for secret in secrets:
        yield f"secret:{secret.name}", list(_forms_in(text, secret.value, since=0))
    mask_lines, masks = found_masks
    for value, since in masks.items():
        yield "mask", list(_forms_in(text, value, since))
    yield "add-mask", mask_lines
    yield "private-key", list(_private_keys(text))
    for name, regex in RULES:
        pattern = re.compile(regex)
        found = (pattern.match(text, at) for at in range(len(text)))
        yield name, [m.span("hide") for m in found if m and m["hide"].strip(b"*")]


def _forms_in(text, value, since):
    for form in forms(value):
        yield from _occurrences(text, form.text, since)
        if form.wraps:
            yield from _wrapped(text, form.text, since)
            yield from _occurrences(text, form.text[3:], since)
            yield from _wrapped(text, form.text[3:], since)


def _occurrences(text, string, since):
    at = text.find(string, since)
    while at >= 0:
        yield at, at + len(string)
        at = text.find(string, at + 1)


def _wrapped(text, string, since):
    """With line breaks in it: the first after 4 bytes or more, then 32 bytes or more apart."""
    for start in range(since, len(text)):
        at, breaks = start, []
        for index, byte in enumerate(string):
            if index and (line_break := re.compile(rb"\r?\n").match(text, at)):
                breaks.append(index)
                at = line_break.end()
            if at >= len(text) or text[at] != byte:
                break
            at += 1
        else:
            far = all(b - a >= 32 for a, b in pairwise(breaks))
            if far and (not breaks or breaks[0] >= 4):
                yield start, at


def _masks(text):
    hidden, masks = [], {}
    for match in re.finditer(b"(?=%s)" % MASK, text):
        first = match.start() + len(MASK)
        newline = text.find(b"\n", first)
        end = len(text) if newline < 0 else newline
        value = text[first:end].strip()
        if end - first > MASK_MOST:
            hidden.append((first, end))
        elif value:
            at = text.index(value, first)
            hidden.append((at, at + len(value)))
            plain = value.replace(b"%0A", b"\n").replace(b"%0D", b"\r").replace(b"%25", b"%")
            for variant in (value, plain, ESCAPE.sub(b"", value)):
                if len(masks) < MASKS_MOST:
                    masks.setdefault(variant, end + 1)
    return hidden, masks


def _private_keys(text):
    begins = (re.compile(PEM_BEGIN).match(text, at) for at in range(len(text)))
    for begin in filter(None, begins):
        end = re.compile(PEM_END).search(text, begin.end())
        if end and end.end() - begin.start() <= PEM_MOST:
            yield begin.start(), end.end()
        else:
            rest = re.compile(rb"[A-Za-z0-9+/=\s\\]*").match(
                text, begin.end(), begin.start() + PEM_MOST
            )
            yield begin.start(), rest.end()
