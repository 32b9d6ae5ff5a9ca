"""A program that asks in its users' names: whose rights count then."""

from __future__ import annotations

from collections.abc import Mapping

from core.access import EVERY, Principal, require
from core.callers import is_user
from core.errors import InvalidInput
from core.settings.auth import Person

EVERYBODY_ELSE = "*"
_NOBODY = Person()


def acting_for(caller: Principal, user: str, people: Mapping[str, Person]) -> Principal:
    """In whose name the request of `caller` is answered.

    A user has the groups and levels that `people` gives them and the caller has
    as well: whoever acts for others never sees more than alone, and a user of whom
    nothing is known sees what is open to everyone.

    Args:
        user: Whom the caller names; "" and its own id mean itself.

    Raises:
        ScopeMissing: The caller may not act for others.
        InvalidInput: That cannot be the id of a user.
    """
    if user in ("", caller.id):
        return caller
    require(caller, "act_as")
    if not is_user(user):
        raise InvalidInput(f"'{user[:80]}' cannot be a user; use 1 to 128 of A-Z a-z 0-9 _ . @ : | + -")
    known = people.get(user) or people.get(EVERYBODY_ELSE) or _NOBODY
    return Principal(
        user,
        caller.groups & frozenset(known.groups),
        _both(caller.levels, frozenset(known.levels)),
        caller.scopes & {"use", EVERY},
    )


def _both(some: frozenset[str], others: frozenset[str]) -> frozenset[str]:
    if EVERY in some:
        return others
    return some if EVERY in others else some & others
