"""Tell how two policies differ, and whether the later one can be shown to only tighten. Pure: no I/O here.

Conservative: what isn't shown here to block or to ask at least as much as before counts as loosening. Each step that is
taken for a tightening holds alone, and steps follow one another: changes of lists, of rules, rules that went, new ones.
"""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from gateway.core.loosening.entries import compare_labels
from gateway.core.loosening.lists import compare_lists
from gateway.core.loosening.nouns import Difference
from gateway.core.loosening.responses import compare_responses
from gateway.core.loosening.rules import compare_rules
from gateway.core.model import Decide
from gateway.core.policy import Policy, PolicyFile
from gateway.core.policy.nouns import Budget, Loop

__all__ = ["Difference", "differences", "only_tightens"]

_HANDLED = ("at", "tools", "surfaces", "rules", "budgets", "loop", "signals", "review_by", "observe_until")


def differences(before: Policy, after: Policy) -> tuple[Difference, ...]:
    """All that differs between two policies, those first that may let more through; none for policies that say the
    same.
    """
    found = [*compare_lists(before, after)]
    was, now = ({file.name: file for file in policy.files} for policy in (before, after))
    for name in sorted({*was, *now}):
        found.extend(_file(was.get(name), now.get(name), before, after))
    return tuple(sorted(found, key=lambda one: not one.loosens))


def only_tightens(before: Policy, after: Policy) -> bool:
    """Whether no call can be shown less than before, as far as that follows from the policies alone."""
    return not any(one.loosens for one in differences(before, after))


def _file(was: PolicyFile | None, now: PolicyFile | None, before: Policy, after: Policy) -> Iterator[Difference]:
    if was is None and now is not None:
        yield Difference(now.name, "new file", loosens=now.observe_until is not None)
        was = _emptied(now)
    elif now is None and was is not None:
        yield Difference(was.name, "the file is gone")
        now = _emptied(was)
    assert was is not None
    assert now is not None
    if was.owner != now.owner:
        yield Difference(now.name, f"owner: {_owner(was)} -> {_owner(now)}", loosens=True)
    if was.upstream != now.upstream:
        yield Difference(now.name, f"upstream: `{was.upstream or '(all)'}` -> `{now.upstream or '(all)'}`", True)
    elif not _same_otherwise(was, now):  # pragma: no cover - all that a file can say now is compared by itself
        yield Difference(now.name, "something else of the file changed", loosens=True)
    yield from _dates(was, now)
    yield from compare_labels(was, now, before, after)
    yield from compare_rules(was, now, after)
    yield from _budgets(was, now)
    yield from _loop(now.name, was.loop, now.loop)
    yield from compare_responses(was, now)


def _emptied(file: PolicyFile) -> PolicyFile:
    """A file that says nothing: what is not there, or not any more."""
    return replace(file, tools=(), surfaces=(), rules=(), budgets=(), loop=None, signals={})


def _same_otherwise(was: PolicyFile, now: PolicyFile) -> bool:
    """Whether two files agree in all that isn't compared by itself, whatever a file may say some day."""
    same = {name: getattr(now, name) for name in (*_HANDLED, "owner") if hasattr(now, name)}
    return replace(was, **same) == now


def _owner(file: PolicyFile) -> str:
    owner = file.owner
    return f"`{owner.business}`" if owner.business == owner.technical else f"`{owner.business}`, `{owner.technical}`"


def _dates(was: PolicyFile, now: PolicyFile) -> Iterator[Difference]:
    if was.review_by != now.review_by:
        later = was.review_by is not None and (now.review_by is None or now.review_by > was.review_by)
        yield Difference(now.name, f"review_by: {was.review_by or 'none'} -> {now.review_by or 'none'}", loosens=later)
    if was.observe_until != now.observe_until:
        later = now.observe_until is not None and (was.observe_until is None or now.observe_until > was.observe_until)
        told = f"observe_until: {was.observe_until or 'none'} -> {now.observe_until or 'none'}"
        yield Difference(now.name, told, loosens=later)


def _budgets(was: PolicyFile, now: PolicyFile) -> Iterator[Difference]:
    former, present = ({budget.id: budget for budget in file.budgets} for file in (was, now))
    for name in sorted({*former, *present}):
        old, new = former.get(name), present.get(name)
        if new is None:
            yield Difference(now.name, f"budget `{name}` is gone", loosens=True)
        elif old is None:
            yield Difference(now.name, f"new budget `{name}`")
        elif replace(old, at=new.at) != new:
            yield Difference(now.name, f"budget `{name}` changed", loosens=not _smaller(old, new))


def _smaller(old: Budget, new: Budget) -> bool:
    rest = replace(old, at=new.at, calls=new.calls, limit=new.limit, over=new.over) == new
    strict = old.over is not Decide.BLOCK or new.over is Decide.BLOCK
    return rest and strict and new.calls <= old.calls and new.limit <= old.limit


def _loop(file: str, old: Loop | None, new: Loop | None) -> Iterator[Difference]:
    if old == new:
        return
    if new is None or old is None:
        yield Difference(file, "[loop] is gone" if new is None else "new [loop]", loosens=new is None)
        return
    rest = replace(old, same_call=new.same_call, same_refusal=new.same_refusal, over=new.over) == new
    pairs: Sequence[tuple[int, int]] = ((old.same_call, new.same_call), (old.same_refusal, new.same_refusal))
    fewer = all(not before or 0 < now <= before for before, now in pairs)  # 0: off
    strict = old.over is not Decide.BLOCK or new.over is Decide.BLOCK
    yield Difference(file, "[loop] changed", loosens=not (rest and fewer and strict))
