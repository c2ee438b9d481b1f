"""What the texts of a file look like. Pure."""

from __future__ import annotations

from zf.model import ID_PATTERN

# Patterns are ECMAScript's and Rust's common ground: editors check them too.
ID = f"^{ID_PATTERN}$"
NOT_BLANK = r"\S"
ENV_NAME = "^[A-Za-z_][A-Za-z0-9_]*$"
ENV_GLOB = r"^[A-Za-z0-9_*?\[\]!-]+$"
# One part of a path: anything but `..`; the first part is not empty, so the path is relative.
_PART = r"(?:\.|[^/.][^/]*|\.[^/.][^/]*|\.\.[^/]+)"
INSIDE = f"^{_PART}(?:/{_PART}?)*$"
GLOB = f"^!?{_PART}(?:/{_PART}?)*$"
# What is handed to a container engine: no option of a command line, and no space in it.
IMAGE = r"^[A-Za-z0-9$][^\s]*$"
NETWORK = r"^[A-Za-z0-9][^\s]*$"
USER = r"^[^\s-][^\s]*$"
# A plain number is bytes to them.
MEMORY = "^[1-9][0-9]*[bkmgBKMG]?$"
ENGINE = r"^(?:auto|(?:[^\s]*/)?(?:podman|docker)[^\s/]*(?:\s.*)?)$"
# What stands in a list of allowed signers, or as the name of a token: no space, comma or quote, and
# no character of a pattern. How long one may be stands beside it: as `{1,200}` in here that takes
# the engine 2 ms of every load.
APPROVER = r"^[^\s,\"*?!|]+$"
MAX_APPROVER_CHARS = 200
URL = r"^https?://\S+$"
ADDRESS = r"^[^\s@<>,;]+@[^\s@<>,;]+$"
SERVER = r"^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?$"
METRIC_NAME = "^[a-zA-Z_:][a-zA-Z0-9_:]*$"
