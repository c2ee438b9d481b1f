"""What lies in a bundle, and what has been found wrong with it so far.

Every step of a verification reads through this, so that no file is read but as its list, its schema
and its size allow, and every flaw becomes a finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from zf.audit import result
from zf.audit.account import Account
from zf.audit.findings import Finding, State, Verdict
from zf.audit.result import Outcome
from zf.lean.records import Struct, field
from zf.proof import checksums, forms
from zf.proof.bundle import Bundle, Inventory
from zf.proof.journal import decode
from zf.proof.layout import ATTEST, BLOCKED, JOURNAL, MANIFEST, PAYLOAD, PLAN, RUN
from zf.proof.read import MAX_JSON_BYTES

if TYPE_CHECKING:
    from zf.audit.gates.kept import Kept

# What a run may have at its top besides the folders of its tasks.
TOP_FILES = frozenset({JOURNAL, RUN, PLAN, BLOCKED, PAYLOAD, MANIFEST})


class Source(Struct):
    """A run whose results count in this one: what is known of it, and for which tasks. `why` says
    why it was not checked; nothing where it was.
    """

    run: str
    why: str = ""
    tasks: list[str] = field(default_factory=list)


class Evidence:
    """What the steps of one verification share: the files, what they say, and the findings."""

    def __init__(self, bundle: Bundle, inventory: Inventory) -> None:
        self.bundle = bundle
        self.there = inventory
        self.findings: list[Finding] = []
        self.sealed = MANIFEST in inventory.files
        # Path -> SHA-256 of every file listed in a manifest or a task's checksum list.
        self.expected: dict[str, str] = {}
        # Path -> size in bytes of every log, as its step's own record has it.
        self.sizes: dict[str, int] = {}
        self.run: Mapping[str, Any] = {}
        self.plan: Mapping[str, Any] = {}
        # Each with its row of the plan, in plan order, and found at once.
        self.planned: dict[str, Mapping[str, Any]] = {}
        # Those of them that joined the plan while the run went on.
        self.joined: set[str] = set()
        self.account = Account()
        # What the tasks looked at so far handed on, by name.
        self.outputs: dict[str, Mapping[str, Any]] = {}
        self.head = ""
        self.torn = False
        self.trees = 0
        self.statuses: list[Mapping[str, Any]] = []
        self.authentic = Verdict("AUTHENTIC", State.UNSIGNED, "")
        self.stamped = ""
        # The earlier runs whose results count in this one.
        self.cached: list[Source] = []
        # Each approval that was asked for, with what was answered.
        self.approvals: list[Kept] = []

    def found(self, verdict: str, kind: str, message: str, path: str | None = None) -> None:
        self.findings.append(Finding(verdict, kind, message, path))

    def tampered(self, kind: str, message: str, path: str | None = None) -> None:
        self.found("INTACT", kind, message, path)

    def ended(self) -> set[str]:
        return {name for name, task in self.account.tasks.items() if task.terminal is not None}

    def outcome(self, *, intact: bool) -> Outcome:
        """What the run came to, by the journal."""
        return result.of(self.account, list(self.planned), intact=intact)

    def hash(self, there: Iterable[str]) -> None:
        """Of these files, all that are listed and were not hashed yet. A log that has not its size
        is not read to the end: holes can make it as large as they like.
        """
        wanted = [path for path in there if path in self.expected]
        for path in sorted(self.sizes.keys() & wanted):
            size = self.sizes.pop(path)
            found = self.bundle.size(path)
            if found not in {None, size}:
                self.bundle.refused.add(path)
                self.tampered("changed", f"has {found} bytes, {size} were recorded", path)
        for path, why in self.bundle.hash(wanted):
            self.tampered("unreadable", why, path)

    def read_list(self, path: str, prefix: str = "") -> dict[str, str]:
        """A checksum list as path -> SHA-256, the paths with `prefix` before them."""
        try:
            listed = checksums.parse(self.bundle.read(path, checksums.MAX_LIST_BYTES))
        except OSError as error:
            self.tampered("missing", reason_of(error), path)
        except ValueError as error:
            self.tampered("manifest", f"not a checksum list: {error}", path)
        else:
            return {prefix + p: digest for p, digest in listed.items()} if prefix else listed
        return {}

    def read_paper(self, path: str, form: str) -> Mapping[str, Any]:
        """A JSON object as far as it has its form, so that what follows may rely on types."""
        value = self.read_json(path, form)
        if isinstance(value, dict):
            return value
        return {}

    def read_json(self, path: str, form: str) -> Any:
        try:
            value = decode(self.bundle.read(path, MAX_JSON_BYTES))
        except OSError as error:
            self.tampered("missing", reason_of(error), path)
            return None
        except ValueError as error:
            self.tampered("paper", f"not JSON as a proof has it: {error}", path)
            return None
        if not isinstance(value, dict) and form != "commands":
            self.tampered("paper", "not a JSON object", path)
            return None
        if wrong := forms.problems(form, value):
            for problem in wrong:
                self.tampered("form", problem, path)
            return forms.sound(form, value)
        return value


_BELOW_ATTEST = f"{ATTEST}/"


def is_attest(path: str) -> bool:
    return path.startswith(_BELOW_ATTEST)


def is_seal(path: str) -> bool:
    """Whether it is the manifest or about it, and so not in it."""
    return is_attest(path) or path == MANIFEST


def reason_of(error: OSError) -> str:
    return (error.strerror or "cannot be read").lower()
