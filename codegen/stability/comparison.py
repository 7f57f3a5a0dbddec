"""What of one version's surface the next one breaks: griffe's findings, and what griffe leaves out.

griffe finds what is gone, and what became of parameters. It does not look at types, bases, values,
overloads, labels, nor at what can be set.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator

import griffe

from codegen.runtime._stability import Stability
from codegen.stability.breaks import MOVED, Break, merged, told_once
from codegen.stability.stubs import Stub, Stubs, label_of, type_of
from codegen.stability.type_compat import fits

_ORDER = list(Stability)


def breaks_between(old: Stubs, new: Stubs, labels: dict[str, Stability]) -> list[Break]:
    """What worked with one surface and does not with another.

    Args:
        old: The surface that was promised.
        new: The surface as it is.
        labels: The label of every export as it is, of those that users do not see too.
    """
    comparison = _Comparison(old, new, labels)
    found = [each for name in old for each in comparison.module(name)]
    return merged(told_once(found))


class _Comparison:
    def __init__(self, old: Stubs, new: Stubs, labels: dict[str, Stability]) -> None:
        self._old = old
        self._new = new
        self._labels = labels

    def module(self, name: str) -> Iterator[Break]:
        old, new = self._old[name], self._new.get(name)
        if new is None:
            # What nothing shows any more was hidden by the change of what showed it.
            if name.startswith("rlmesh_api"):
                return
            yield Break(name, old.label, "the module is gone; bring it back")
            return
        if _ORDER.index(new.label) > _ORDER.index(old.label):
            yield _fallen(name, old.label, new.label)
        for breakage in griffe.find_breaking_changes(old.module, new.module):
            yield from self._translated(breakage, old)
        for own, item in old.module.members.items():
            other = new.module.members.get(own)
            if isinstance(item, griffe.Object) and isinstance(other, griffe.Object):
                yield from self._pair(item, other, old.label)

    def _translated(self, breakage: griffe.Breakage, stub: Stub) -> Iterator[Break]:
        """What griffe found; types and bases are compared below."""
        path = breakage.obj.path
        label = self._label(stub, path)
        match breakage:
            case griffe.ObjectRemovedBreakage():
                yield from self._gone(path, label)
            case griffe.ObjectChangedKindBreakage():
                was, now = _word(breakage.old_value), _word(breakage.new_value)
                yield Break(path, label, f"it was {was} and is {now}; make it {was} again")
            case _:
                found = _parameter(breakage, self._find(stub, path))
                if found is not None:
                    name, what = found
                    yield Break(path, label, what, name)

    def _gone(self, path: str, label: Stability) -> Iterator[Break]:
        home, _, own = path.rpartition(".")
        inherited = home not in self._old and self._inherits(home, own)
        if inherited or (path.startswith("rlmesh_api.") and home in self._old):
            return
        now = self._labels.get(path)
        if now is not None and _ORDER.index(now) > _ORDER.index(label):
            yield _fallen(path, label, now)
            return
        elsewhere = [
            f"{module}.{own}"
            for module, stub in self._new.items()
            if home in self._old and module != home and own in stub.module.members
        ]
        moved = f"it stands at {elsewhere[0]} now" if elsewhere else "it was removed or renamed"
        yield Break(path, label, f"it is gone: {moved}; bring it back")

    def _pair(self, old: griffe.Object, new: griffe.Object, outer: Stability) -> Iterator[Break]:
        label = label_of(old) or outer
        now = label_of(new) or outer
        if _ORDER.index(now) > _ORDER.index(label):
            yield _fallen(old.path, label, now)
        if isinstance(old, griffe.Class) and isinstance(new, griffe.Class):
            yield from self._bases(old, new, label)
            for name, member in old.members.items():
                other = new.members.get(name)
                if isinstance(member, griffe.Object) and isinstance(other, griffe.Object):
                    yield from self._pair(member, other, label)
            for name, member in new.members.items():
                if name not in old.members and _need(member) is True:
                    what = "the new key is required; make it NotRequired"
                    yield Break(f"{old.path}.{name}", label, what)
        elif isinstance(old, griffe.Function) and isinstance(new, griffe.Function):
            yield from self._function(old, new, label)
        elif isinstance(old, griffe.Attribute) and isinstance(new, griffe.Attribute):
            yield from self._attribute(old, new, label)

    def _bases(self, old: griffe.Class, new: griffe.Class, label: Stability) -> Iterator[Break]:
        now = self._ancestors(self._new, new)
        for base in map(str, old.bases):
            if base not in now and not any(_builtin_is_a(each, base) for each in now):
                what = f"it is no {base} any more, and `except {base}` or `isinstance` misses it"
                if not old.path.endswith("Error"):
                    what = f"it is no {base} any more"
                yield Break(old.path, label, f"{what}; derive it from {base} again")

    def _function(
        self, old: griffe.Function, new: griffe.Function, label: Stability
    ) -> Iterator[Break]:
        was, now = (_bound(each) for each in (old, new))
        if was != now:
            what = f"it is {now} now, it was {was}; make it that again"
            yield Break(old.path, label, what)
        kept = {_signature(each) for each in new.overloads or ()}
        for each in old.overloads or ():
            if new.overloads and _signature(each) not in kept:
                what = f"the overload `{_signature(each)}` is gone; bring it back"
                yield Break(old.path, label, what)
        for parameter in old.parameters:
            if parameter.name not in new.parameters:
                continue
            was = str(parameter.annotation or "Any")
            now = str(new.parameters[parameter.name].annotation or "Any")
            if not self._fits(was, now):
                what = f"the parameter `{parameter.name}` takes {now} now, it took {was}"
                yield Break(old.path, label, f"{what}; take that again", parameter.name)
        was, now = str(old.returns or "Any"), str(new.returns or "Any")
        if was != "None" and not self._fits(now, was):
            what = f"it returns {now} now, it returned {was}; return that again"
            yield Break(old.path, label, what)

    def _attribute(
        self, old: griffe.Attribute, new: griffe.Attribute, label: Stability
    ) -> Iterator[Break]:
        was, now = type_of(old), type_of(new)
        if _need(old) is not _need(new):
            words = {True: "required", False: "not required", None: "no key of a TypedDict"}
            what = f"it is {words[_need(new)]} now, it was {words[_need(old)]}"
            yield Break(old.path, label, f"{what}; make it that again")
        # What may be written as well as read changes neither way.
        if not self._fits(now, was) or (_need(old) is not None and not self._fits(was, now)):
            what = f"its type is {now} now, it was {was}; make it that again"
            yield Break(old.path, label, what)
        if old.value is not None and str(old.value) != str(new.value):
            value = "nothing" if new.value is None else str(new.value)
            what = f"it is {value} now, it was {old.value}; make it that again"
            if old.name == "__match_args__":
                yield Break(
                    old.path.rpartition(".")[0],
                    label,
                    f"unpacking it gives {value} now, it gave {old.value}; restore the order",
                )
            else:
                yield Break(old.path, label, what)
        if _is_settable(old) and not _is_settable(new):
            yield Break(old.path, label, "it cannot be set any more; let it be set again")

    def _fits(self, narrow: str, wide: str) -> bool:
        return fits(narrow, wide, self._is_a)

    def _is_a(self, name: str, base: str) -> bool:
        found = self._class(self._new, name)
        return found is not None and base in self._ancestors(self._new, found)

    def _inherits(self, cls: str, member: str) -> bool:
        """Whether a class has a member through another public class now."""
        found = self._class(self._new, cls)
        if found is None:
            return False
        bases = (self._class(self._new, name) for name in self._ancestors(self._new, found))
        return any(base is not None and member in base.members for base in bases)

    def _ancestors(self, stubs: Stubs, cls: griffe.Class) -> dict[str, None]:
        """What a class derives from, with type arguments and without."""
        found: dict[str, None] = {}
        for base in map(str, cls.bases):
            bare = base.partition("[")[0]
            found |= dict.fromkeys((base, bare))
            own = self._class(stubs, bare)
            if own is not None:
                found |= self._ancestors(stubs, own)
        return found

    @staticmethod
    def _class(stubs: Stubs, name: str) -> griffe.Class | None:
        home, _, own = name.rpartition(".")
        found = stubs[home].module.members.get(own) if home in stubs else None
        return found if isinstance(found, griffe.Class) else None

    @staticmethod
    def _find(stub: Stub, path: str) -> griffe.Object | None:
        found: griffe.Object | griffe.Alias = stub.module
        for name in path.removeprefix(f"{stub.module.path}.").split("."):
            if name not in found.members:
                return None
            found = found.members[name]
        return found if isinstance(found, griffe.Object) else None

    def _label(self, stub: Stub, path: str) -> Stability:
        """The label of a thing, or else of what it stands in."""
        while path != stub.module.path:
            found = self._find(stub, path)
            if found is not None and (label := label_of(found)):
                return label
            path = path.rpartition(".")[0]
        return stub.label


def _fallen(name: str, old: Stability, new: Stability) -> Break:
    return Break(name, old, f"its label fell from {old} to {new}; raise it again")


def _word(kind: object) -> str:
    word = str(getattr(kind, "value", kind))
    return f"an {word}" if word.startswith("a") else f"a {word}"


def _parameter(breakage: griffe.Breakage, before: object) -> tuple[str, str] | None:
    """What became of a parameter: its name, and the words for it."""
    old, new = breakage.old_value, breakage.new_value
    match breakage:
        case griffe.ParameterRemovedBreakage():
            fresh = _renamed_to(before, breakage.obj, old.name)
            gone = f"was renamed to `{fresh}`" if fresh else "is gone"
            return old.name, f"the parameter `{old.name}` {gone}; bring it back"
        case griffe.ParameterChangedRequiredBreakage():
            what = f"the parameter `{new.name}` is required now; give it its default back"
            return new.name, f"{what}, {old.default}"
        case griffe.ParameterMovedBreakage():
            return old.name, MOVED
        case griffe.ParameterChangedKindBreakage() if new.name not in {"self", "cls"}:
            what = f"the parameter `{new.name}` is {new.kind.value} now, it was {old.kind.value}"
            return new.name, f"{what}; make it so again"
        case griffe.ParameterChangedDefaultBreakage():
            what = f"the default of `{new.name}` is {new.default} now, it was {old.default}"
            return new.name, f"{what}; give it back"
        case griffe.ParameterAddedRequiredBreakage():
            if _is_new_name(before, breakage.obj, new.name):
                return None
            what = f"the new parameter `{new.name}` is required; give it a default"
            return new.name, what
        case _:
            return None


def _builtin_is_a(name: str, base: str) -> bool:
    one, other = getattr(builtins, name, None), getattr(builtins, base, None)
    return isinstance(one, type) and isinstance(other, type) and issubclass(one, other)


def _need(item: griffe.Object | griffe.Alias) -> bool | None:
    """Whether a key of a TypedDict must be there; None for anything else."""
    type_ = type_of(item) if isinstance(item, griffe.Attribute) else ""
    return {"Required": True, "NotRequired": False}.get(type_.partition("[")[0])


def _is_settable(attribute: griffe.Attribute) -> bool:
    return "property" not in attribute.labels or attribute.setter is not None


def _bound(function: griffe.Function) -> str:
    """How a function is called."""
    words = [word for word in ("async", "staticmethod", "classmethod") if word in function.labels]
    return " ".join(words) or "a plain function"


def _signature(function: griffe.Function) -> str:
    return str(function.signature())


def _names(function: object) -> list[str]:
    known = function.parameters if isinstance(function, griffe.Function) else ()
    return [each.name for each in known]


def _renamed_to(old: object, new: object, name: str) -> str | None:
    """The new name that stands where an old one stood, and whose number is the same."""
    before, after = _names(old), _names(new)
    if len(before) != len(after) or name not in before:
        return None
    fresh = after[before.index(name)]
    return None if fresh in before else fresh


def _is_new_name(old: object, new: object, name: str) -> bool:
    """Whether a parameter is an old one with another name, which is reported already."""
    before, after = _names(old), _names(new)
    gone = before[after.index(name)] if len(before) == len(after) else None
    return gone is not None and gone not in after
