"""Values as other systems write them, as values of zf's own keys: for what is told of their words.

What is not plain enough for one line is not taken over, and an example is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from zf.lean.records import Struct

# A value that is longer is no help in a hint.
_MOST_SHOWN = 60

# More digits are no number of anything.
_N = "([0-9]{1,6})"
_WHOLE = re.compile(_N)
_TIME = re.compile(f"(?:{_N} ?h(?:ours?)?)? ?(?:{_N} ?m(?:in(?:ute)?s?)?)? ?(?:{_N} ?s(?:ec)?s?)?")


class Here(Struct, frozen=True):
    """The key of zf; the value to write for the one that is there, or an example of one."""

    key: str
    example: str
    value: Callable[[Node], str]

    def form(self, node: Node) -> str:
        return f"{self.key}: {self.value(node) or self.example}"


def shown(node: Node) -> str:
    """A short text or list of texts as it stands, as a value of one line."""
    if isinstance(node, ScalarNode):
        text = _plain(node.value)
    elif isinstance(node, SequenceNode) and all(isinstance(n, ScalarNode) for n in node.value):
        parts = [_plain(entry.value) for entry in node.value]
        text = f"[{', '.join(parts)}]" if all(parts) else ""
    else:
        return ""
    return text if len(text) <= _MOST_SHOWN else ""


def _plain(text: str) -> str:
    """A text as it would be written, empty if that takes thought."""
    if not text.strip() or "\n" in text or "`" in text or "${{" in text:
        return ""
    if re.fullmatch(r"[\w./$-][\w ./$=@*-]*", text):
        return text
    if "'" not in text:
        return f"'{text}'"
    return f'"{text}"' if not {'"', "\\"} & {*text} else ""


def listed(node: Node) -> str:
    found = shown(node)
    return f"[{found}]" if isinstance(node, ScalarNode) and found else found


def one(node: Node) -> str:
    return shown(node) if isinstance(node, ScalarNode) else ""


def whole(node: Node) -> str:
    return node.value if isinstance(node, ScalarNode) and _WHOLE.fullmatch(node.value) else ""


def boolean(node: Node) -> str:
    return node.value if isinstance(node, ScalarNode) and node.value in {"true", "false"} else ""


def nothing(_node: Node) -> str:
    return ""


def seconds(node: Node) -> str:
    """`90`, `5m`, `1h 30m`, `3 hours` as seconds."""
    text = node.value if isinstance(node, ScalarNode) else ""
    if _WHOLE.fullmatch(text):
        return text
    found = _TIME.fullmatch(text)
    if not text or found is None:
        return ""
    h, m, s = (int(part or 0) for part in found.groups())
    return str(h * 3600 + m * 60 + s)


def minutes(node: Node) -> str:
    return str(int(node.value) * 60) if whole(node) else ""


def variables(node: Node) -> str:
    """Variables, where they are few and plain."""
    if not isinstance(node, MappingNode):
        return ""
    pairs = [(one(key), one(value)) for key, value in node.value]
    text = f"{{{', '.join(f'{key}: {value}' for key, value in pairs)}}}"
    return text if pairs and all(map(all, pairs)) and len(text) <= _MOST_SHOWN else ""


def counted(node: Node) -> str:
    """As many instances of a task as a number says."""
    return f"{{part: {{count: {whole(node)}}}}}" if whole(node) else ""


def in_order(node: Node) -> str:
    """Stages, as phases of which each needs the one before."""
    if not isinstance(node, SequenceNode):
        return ""
    names = [one(stage) for stage in node.value]
    needs = ["{}", *(f"{{needs: [{name}]}}" for name in names)]
    pairs = [f"{name}: {need}" for name, need in zip(names, needs, strict=False)]
    return f"{{{', '.join(pairs)}}}" if all(names) and len(names) in range(2, 5) else ""
