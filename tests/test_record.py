"""`@record` makes what `@dataclass(frozen=True, slots=True)` makes."""

import copy
import dataclasses
import pickle
from dataclasses import FrozenInstanceError, dataclass, field

import pytest

from zf.record import record


class Plain:
    a: int
    b: str = "x"
    c: list = field(default_factory=list)
    d: int = field(default=1, compare=False, repr=False)

    @property
    def twice(self):
        return 2 * self.a


def made(decorator, name):
    """The class above by one of the two decorators, found by its name as pickle wants it."""
    kind = decorator(type(name, (), dict(vars(Plain), __qualname__=name)))
    globals()[name] = kind
    return kind


Ours = made(record, "Ours")
Theirs = made(dataclass(frozen=True, slots=True), "Theirs")
BOTH = pytest.mark.parametrize("kind", [Ours, Theirs])


@BOTH
def test_what_a_frozen_dataclass_does(kind):
    one = kind(1)
    assert (one.a, one.b, one.c, one.d, one.twice) == (1, "x", [], 1, 2)
    assert one == kind(1, "x", [], d=9)
    assert one not in (kind(2), (1, "x", []), None)
    assert kind(1).c is not one.c
    assert hash(kind(1, c=(1,))) == hash(kind(1, c=(1,), d=9))
    assert repr(one) == f"{kind.__name__}(a=1, b='x', c=[])"
    assert dataclasses.replace(one, a=3) == kind(3)
    assert [f.name for f in dataclasses.fields(kind)] == ["a", "b", "c", "d"]
    assert pickle.loads(pickle.dumps(one)) == copy.copy(one) == copy.deepcopy(one) == one
    assert not hasattr(one, "__dict__")
    match one:
        case kind(1, "x"):
            pass
        case _:
            pytest.fail("does not match by position")


@pytest.mark.parametrize(
    ("kind", "name"),
    # Python 3.11's own raises a TypeError of its own making for names that are no fields.
    [(Ours, "a"), (Ours, "twice"), (Ours, "other"), (Theirs, "a")],
)
def test_nothing_can_be_changed(kind, name):
    one = kind(1)
    with pytest.raises(FrozenInstanceError, match=f"cannot assign to field '{name}'"):
        setattr(one, name, 2)
    with pytest.raises(FrozenInstanceError, match=f"cannot delete field '{name}'"):
        delattr(one, name)
    assert one.a == 1


@BOTH
@pytest.mark.parametrize(("args", "more"), [((), {}), ((1, 2, 3, 4, 5), {}), ((1,), {"z": 1})])
def test_wrong_arguments_are_type_errors(kind, args, more):
    with pytest.raises(TypeError):
        kind(*args, **more)


def test_own_methods_are_kept_and_nothing_is_needed():
    @record
    class Empty:
        def __repr__(self):
            return "mine"

    assert Empty() == Empty()
    assert hash(Empty()) == hash(Empty())
    assert repr(Empty()) == "mine"
