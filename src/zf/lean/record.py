"""`@record` and `@mutable`: dataclasses with slots that cost little until they are used.

`@dataclass(frozen=True, slots=True)` compiles six functions for each class, 0.5 ms a class, and
imports `inspect`. But of most classes a run makes one instance, or none, and it compares none
(docs/decisions/0009). So `__init__`, `__eq__` and `__hash__` are compiled when that pays; the other
methods are the same for all classes and written here once.

What asks for a dataclass finds one: `match`, pickle, and `fields`, `replace` and `asdict` of
dataclasses. There is no ClassVar, InitVar or keyword-only field, and `field` takes less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform

__all__ = ["asdict", "field", "mutable", "record", "replace", "required"]

_Class = TypeVar("_Class", bound=type)
_MISSING: Any = object()
_assign = object.__setattr__
# Compiling an `__init__` takes as long as filling this many instances without.
_BY_HAND = 10


class _Field:
    """What a class says of a field besides its type."""

    __slots__ = ("compare", "default", "default_factory", "repr")

    def __init__(
        self,
        *,
        default: Any = _MISSING,
        default_factory: Callable[[], Any] = _MISSING,
        repr: bool = True,  # noqa: A002 - as dataclasses call it
        compare: bool = True,
    ) -> None:
        self.default = default
        self.default_factory = default_factory
        self.repr = repr
        self.compare = compare


def _replace(one: Any, /, **changes: Any) -> Any:
    """The same with other values in some fields."""
    return type(one)(**_values(one) | changes)


if TYPE_CHECKING:
    # Type checkers know what these two may be given.
    from dataclasses import field, replace
else:
    field, replace = _Field, _replace


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: _Class) -> _Class:
    """What `@dataclass(frozen=True, slots=True)` makes of the class."""
    return _made(cls, frozen=True)  # type: ignore[no-any-return]  # the same class, with slots


@dataclass_transform(field_specifiers=(field,))
def mutable(cls: _Class) -> _Class:
    """What `@dataclass(slots=True)` makes of the class."""
    return _made(cls, frozen=False)  # type: ignore[no-any-return]  # the same class, with slots


def required(cls: type) -> set[str]:
    """The fields that have no default."""
    return {
        name
        for name, said in _fields(cls).items()
        if said.default is _MISSING and said.default_factory is _MISSING
    }


def asdict(one: Any) -> dict[str, Any]:
    """The values by the fields' names; of a field that holds a record likewise."""
    return {
        name: asdict(value) if hasattr(value, "__record__") else value
        for name, value in _values(one).items()
    }


def _made(cls: Any, *, frozen: bool) -> Any:
    """The class made once more, because slots cannot be given to one that is there."""
    body = dict(cls.__dict__)
    body.pop("__dict__", None)
    body.pop("__weakref__", None)
    inherited = getattr(cls, "__record__", {})
    own = {name: body.pop(name, _MISSING) for name in cls.__annotations__}
    fields = inherited | own
    body |= {
        "__qualname__": cls.__qualname__,
        "__record__": fields,
        "__match_args__": tuple(fields),
        "__slots__": tuple(name for name in own if name not in inherited),
    }
    lazy = {name: _Lazy(make) for name, make in _LAZY.items()} | {"__init__": _LazyInit()}
    return type(cls)(cls.__name__, cls.__bases__, lazy | (_FROZEN if frozen else _MUTABLE) | body)


class _Lazy:
    """A part of a class that is made when it is first asked for, and then stands in this one's
    place: from there on it is as quick as if it had been there from the start.
    """

    __slots__ = ("cls", "make", "name")

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make = make

    def __set_name__(self, cls: Any, name: str) -> None:
        # Asked through a subclass it belongs here all the same.
        self.cls, self.name = cls, name

    def __get__(self, instance: object, owner: type) -> Any:
        made = self.make(self.cls)
        setattr(self.cls, self.name, made)
        return made.__get__(instance, owner) if callable(made) else made


class _LazyInit(_Lazy):
    """`__init__`, made when that begins to pay. The first instances are filled by hand."""

    __slots__ = ("by_hand",)

    def __init__(self) -> None:
        super().__init__(_init)
        self.by_hand = _BY_HAND

    def __get__(self, instance: object, owner: type) -> Any:
        self.by_hand -= 1
        if self.by_hand < 0 or not isinstance(instance, self.cls):
            return super().__get__(instance, owner)
        return partial(_fill, self.cls, instance)


def _fill(cls: Any, one: Any, /, *args: Any, **named: Any) -> None:
    """What `__init__` does, slower, and without compiling one."""
    fields = cls.__record__
    values = dict(zip(fields, args, strict=False)) | named
    given = len(values)
    for name, said in fields.items():
        if name not in values:
            values[name] = _default(said)
    if (
        given < len(args) + len(named)  # too many, or one of them twice
        or len(values) > len(fields)
        or any(value is _MISSING for value in values.values())
    ):
        _init(cls)(one, *args, **named)  # says what is wrong
        return
    assign: Callable[[Any, str, Any], None] = _assign if _is_frozen(cls) else setattr
    for name, value in values.items():
        assign(one, name, value)
    if hasattr(cls, "__post_init__"):
        one.__post_init__()


def _default(said: Any) -> Any:
    if not isinstance(said, _Field):
        return said
    return said.default if said.default_factory is _MISSING else said.default_factory()


def _fields(cls: Any) -> dict[str, _Field]:
    return {
        name: said if isinstance(said, _Field) else _Field(default=said)
        for name, said in cls.__record__.items()
    }


def _values(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__record__}


def _is_frozen(cls: Any) -> bool:
    # The one it was given: a profiler may have put another in the place of ours since.
    return cls.__setattr__ is _FROZEN["__setattr__"]


def _init(cls: Any) -> Any:
    names: dict[str, Any] = {"_MISSING": _MISSING}
    parameters, lines = ["self"], []
    frozen = _is_frozen(cls)
    for name, said in _fields(cls).items():
        value = name
        if said.default is not _MISSING:
            names[f"_default_{name}"] = said.default
            parameters.append(f"{name}=_default_{name}")
        elif said.default_factory is not _MISSING:
            names[f"_make_{name}"] = said.default_factory
            parameters.append(f"{name}=_MISSING")
            value = f"_make_{name}() if {name} is _MISSING else {name}"
        else:
            parameters.append(name)
        if frozen:
            # Past our own __setattr__; object's would look the slot up again each time.
            names[f"_set_{name}"] = getattr(cls, name).__set__
            lines.append(f"_set_{name}(self, {value})")
        else:
            lines.append(f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    return _compiled(cls, "__init__", ", ".join(parameters), "; ".join(lines) or "pass", names)


def _eq(cls: Any) -> Any:
    same = f"{_compared(cls, 'self')} == {_compared(cls, 'other')}"
    body = f"return {same} if other.__class__ is self.__class__ else NotImplemented"
    return _compiled(cls, "__eq__", "self, other", body)


def _hash(cls: Any) -> Any:
    return _compiled(cls, "__hash__", "self", f"return hash({_compared(cls, 'self')})")


def _compared(cls: Any, one: str) -> str:
    return f"({''.join(f'{one}.{name}, ' for name, said in _fields(cls).items() if said.compare)})"


def _compiled(
    cls: Any, name: str, parameters: str, body: str, names: dict[str, Any] | None = None
) -> Any:
    names = names or {}
    exec(f"def {name}({parameters}): {body}", names)  # noqa: S102 - as dataclasses do
    made = names[name]
    made.__qualname__ = f"{cls.__qualname__}.{name}"
    return made


def _dataclass(cls: Any) -> Any:
    """The real dataclass with these fields, for what looks into one."""
    import dataclasses  # noqa: PLC0415 - what nothing in zf does, so nothing in zf imports it

    body: dict[str, Any] = {"__module__": cls.__module__, "__annotations__": {}}
    for base in reversed(cls.__mro__):
        body["__annotations__"] |= getattr(base, "__annotations__", {})
    for name, said in _fields(cls).items():
        told = {what: getattr(said, what) for what in _Field.__slots__}
        known = {what: value for what, value in told.items() if value is not _MISSING}
        body[name] = dataclasses.field(**known)
    kind = type(cls.__name__, (), body)
    return dataclasses.dataclass(frozen=_is_frozen(cls), slots=True)(kind)


@recursive_repr("...")
def _repr(self: Any) -> str:
    shown = [name for name, said in _fields(self).items() if said.repr]
    return f"{type(self).__qualname__}({', '.join(f'{n}={getattr(self, n)!r}' for n in shown)})"


def _setattr(_self: Any, name: str, _value: object) -> None:
    from dataclasses import FrozenInstanceError  # noqa: PLC0415 - a mistake need not be quick

    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(_self: Any, name: str) -> None:
    from dataclasses import FrozenInstanceError  # noqa: PLC0415 - likewise

    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _getstate(self: Any) -> list[Any]:
    return list(_values(self).values())


def _setstate(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__record__, state, strict=True):
        _assign(self, name, value)


_LAZY: Mapping[str, Callable[[Any], Any]] = {
    "__eq__": _eq,
    "__hash__": _hash,
    "__dataclass_fields__": lambda cls: _dataclass(cls).__dataclass_fields__,
    "__dataclass_params__": lambda cls: _dataclass(cls).__dataclass_params__,
}
_MUTABLE: dict[str, Any] = {"__repr__": _repr, "__replace__": _replace, "__hash__": None}
_FROZEN: dict[str, Any] = {
    "__repr__": _repr,
    "__replace__": _replace,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__getstate__": _getstate,
    "__setstate__": _setstate,
}
