"""`@record` and `@mutable` make what dataclasses make, and nothing before it pays."""

import copy
import dataclasses
import importlib
import inspect
import pickle
import pkgutil
import pprint
import subprocess
import sys
from dataclasses import FrozenInstanceError, dataclass
from types import FunctionType

import pytest

import zf
from zf.lean import record as ours
from zf.lean.record import mutable, record


def made(decorator, name, field):
    """One class by one of the decorators, found by its name as pickle wants it."""

    class Plain:
        a: int
        b: str = "x"
        c: list = field(default_factory=list)
        d: int = field(default=1, compare=False, repr=False)

        @property
        def twice(self):
            return 2 * self.a

    kind = decorator(type(name, (), dict(vars(Plain), __qualname__=name)))
    globals()[name] = kind
    return kind


def by_hand(kind):
    """Never has its `__init__` compiled, however many are made."""
    vars(kind)["__init__"].by_hand = sys.maxsize
    return kind


def compiled(kind):
    assert isinstance(kind.__init__, FunctionType)
    return kind


Ours = compiled(made(record, "Ours", ours.field))
OursByHand = by_hand(made(record, "OursByHand", ours.field))
Theirs = made(dataclass(frozen=True, slots=True), "Theirs", dataclasses.field)
OurMutable = compiled(made(mutable, "OurMutable", ours.field))
OurMutableByHand = by_hand(made(mutable, "OurMutableByHand", ours.field))
TheirMutable = made(dataclass(slots=True), "TheirMutable", dataclasses.field)
FROZEN = pytest.mark.parametrize("kind", [Ours, OursByHand, Theirs])
MUTABLE = pytest.mark.parametrize("kind", [OurMutable, OurMutableByHand, TheirMutable])
ALL = pytest.mark.parametrize(
    "kind", [Ours, OursByHand, Theirs, OurMutable, OurMutableByHand, TheirMutable]
)


@ALL
def test_what_a_dataclass_does(kind):
    one = kind(1)
    assert (one.a, one.b, one.c, one.d, one.twice) == (1, "x", [], 1, 2)
    assert one == kind(1, "x", [], d=9)
    assert one not in (kind(2), (1, "x", []), None)
    assert kind(1).c is not one.c
    assert repr(one) == f"{kind.__name__}(a=1, b='x', c=[])"
    assert pickle.loads(pickle.dumps(one)) == copy.copy(one) == copy.deepcopy(one) == one
    assert not hasattr(one, "__dict__")
    match one:
        case kind(1, "x"):
            pass
        case _:
            pytest.fail("does not match by position")


@ALL
def test_what_asks_for_a_dataclass_finds_one(kind):
    one = kind(1)
    assert dataclasses.replace(one, a=3) == kind(3)
    assert [f.name for f in dataclasses.fields(kind)] == ["a", "b", "c", "d"]
    assert [f.compare for f in dataclasses.fields(one)] == [True, True, True, False]
    assert [f.type for f in dataclasses.fields(one)] == [int, str, list, int]
    assert dataclasses.asdict(one) == {"a": 1, "b": "x", "c": [], "d": 1}
    assert kind.__dataclass_params__.frozen is ("Mutable" not in kind.__name__)
    assert pprint.pformat(one) == f"{kind.__name__}(a=1, b='x', c=[])"


@FROZEN
def test_a_frozen_one_can_be_hashed(kind):
    assert hash(kind(1, c=(1,))) == hash(kind(1, c=(1,), d=9)) != hash(kind(2, c=(1,)))


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


@MUTABLE
def test_a_mutable_one_can_be_changed_and_not_hashed(kind):
    one = kind(1)
    one.a = 2
    assert one == kind(2)
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)
    with pytest.raises(AttributeError):
        one.other = 1
    one.c.append(one)
    assert repr(one) == f"{kind.__name__}(a=2, b='x', c=[...])"


@ALL
@pytest.mark.parametrize(
    ("args", "more"),
    [
        ((), {}),
        ((), {"b": "y"}),
        ((1, 2, 3, 4, 5), {}),
        ((1,), {"z": 1}),
        ((), {"z": 1}),
        ((1,), {"a": 1}),
    ],
)
def test_wrong_arguments_are_type_errors_that_name_the_class(kind, args, more):
    with pytest.raises(TypeError, match=rf"^{kind.__name__}\.__init__\(\)"):
        kind(*args, **more)


@pytest.mark.parametrize("decorator", [record, mutable])
def test_own_methods_are_kept_and_nothing_is_needed(decorator):
    @decorator
    class Empty:
        def __repr__(self):
            return "mine"

        def __hash__(self):
            return 7

    assert Empty() == Empty()
    assert hash(Empty()) == 7
    assert repr(Empty()) == "mine"


@pytest.mark.parametrize("decorator", [mutable, dataclass(slots=True)])
def test_what_is_left_to_do_is_done_after_init(decorator):
    @decorator
    class Noted:
        a: int
        said: str = ""

        def __post_init__(self):
            self.said += f"a is {self.a}"

    assert [Noted(1).said for _ in range(ours._BY_HAND + 2)] == ["a is 1"] * (ours._BY_HAND + 2)


@pytest.mark.parametrize("decorator", [mutable, dataclass(slots=True)])
def test_its_own_way_to_set_a_value_is_kept(decorator):
    @decorator
    class Doubled:
        a: int

        def __setattr__(self, name, value):
            object.__setattr__(self, name, 2 * value)

    assert {Doubled(1).a for _ in range(ours._BY_HAND + 2)} == {2}


@pytest.mark.parametrize("decorator", [record, mutable])
def test_nothing_is_compiled_before_it_pays(decorator):
    @decorator
    class Late:
        a: int

        @property
        def more(self):
            return self.a + 1

    def there():
        return {name for name in vars(Late) if isinstance(vars(Late)[name], ours._Lazy)}

    methods = {"__init__", "__eq__", "__hash__"} if decorator is record else {"__init__", "__eq__"}
    late = there()
    assert late == methods | {"__dataclass_fields__", "__dataclass_params__"}
    few = [Late(1) for _ in range(ours._BY_HAND)]
    assert there() == late
    few += [Late(1) for _ in range(2)]
    assert there() == (late := late - {"__init__"})
    first = vars(Late)["__init__"]
    assert {(one.a, one.more) for one in few} == {(1, 2)}
    assert few[0] == few[-1] == Late(1) != Late(2)
    assert there() == (late := late - {"__eq__"})
    if decorator is record:
        assert {few[0]: 1}[Late(1)] == 1
        assert there() == late - {"__hash__"}
    assert vars(Late)["__init__"] is first


@pytest.mark.parametrize("kind", [OursByHand, OurMutableByHand])
def test_by_hand_is_without_compiling(monkeypatch, kind):
    monkeypatch.setattr(ours, "_compiled", None)
    assert [kind(1).c, kind(a=1, c=3).c] == [[], 3]


def test_a_signature_can_be_had_before_the_first_instance():
    @record
    class Fresh:
        a: int
        b: str = "x"

    assert str(inspect.signature(Fresh)) == "(a, b='x')"


@pytest.mark.parametrize("few", [0, 1, 5])
def test_what_a_subclass_needs_first_belongs_to_the_record_all_the_same(few):
    @record
    class Base:
        a: int

    vars(Base)["__init__"].by_hand = few

    class Derived(Base):
        def __init__(self, a):
            super().__init__(a + 1)

    assert (Derived(1).a, Derived(1).a, Base(1).a) == (2, 2, 1)
    assert Derived(1) == Derived(1) != Base(2)
    assert "__eq__" not in vars(Derived)
    assert Base.__init__.__qualname__.endswith("Base.__init__")


@pytest.mark.parametrize("decorator", [record, dataclass(frozen=True, slots=True)])
def test_a_record_of_a_record_has_the_fields_of_both(decorator):
    @decorator
    class Base:
        a: int
        b: int = 2

    @decorator
    class Derived(Base):
        c: int = 3
        b: int = 4

    one = Derived(1)
    assert (one.a, one.b, one.c) == (1, 4, 3)
    assert (Derived.__match_args__, Derived.__slots__) == (("a", "b", "c"), ("c",))
    assert Derived.__qualname__.endswith("<locals>.Derived")
    assert [f.name for f in dataclasses.fields(Derived)] == ["a", "b", "c"]
    assert one != Base(1, 4)


def test_what_else_there_is():
    inner, outer = Ours(1), OurMutable(2)
    outer.b = inner
    assert ours.replace(inner, a=3, d=4) == Ours(3)
    assert ours.replace(inner, d=4).d == 4
    # For `copy.replace` of Python 3.13.
    assert (inner.__replace__(a=3), outer.__replace__(a=3).a) == (Ours(3), 3)
    with pytest.raises(TypeError):
        ours.replace(inner, z=1)
    assert ours.required(Ours) == {"a"}
    shown = {"a": 1, "b": "x", "c": [], "d": 1}
    assert ours.asdict(outer) == {"a": 2, "b": shown, "c": [], "d": 1}


def of_zf():
    for module in pkgutil.walk_packages(zf.__path__, "zf."):
        for kind in vars(importlib.import_module(module.name)).values():
            if "__record__" in getattr(kind, "__dict__", ()) and kind.__module__ == module.name:
                yield kind


def taken_by_the_dataclass(kind):
    for f in dataclasses.fields(kind):
        nothing = inspect.Parameter.empty if f.default is dataclasses.MISSING else f.default
        yield f.name, nothing if f.default_factory is dataclasses.MISSING else ours._MISSING


def test_each_of_zf_takes_what_the_dataclass_would():
    """So none uses what only dataclasses know, and no default is a mutable one."""
    kinds = list(of_zf())
    assert len(kinds) > 100
    for kind in kinds:
        taken = [(one.name, one.default) for one in inspect.signature(kind).parameters.values()]
        assert taken == list(taken_by_the_dataclass(kind)), kind
        assert ours.required(kind) == {n for n, value in taken if value is inspect.Parameter.empty}


def test_a_run_needs_neither_dataclasses_nor_what_they_import():
    code = "import sys, zf.run.launch; print({'dataclasses', 'inspect'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")
