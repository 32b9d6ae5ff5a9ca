"""Whoever acts for others, by asking in their names or making keys for them: whose rights count then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from core.access import EVERY, Principal, require
from core.callers import is_user
from core.errors import InvalidInput
from core.identity.errors import KeyExceedsRights
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


def check_gift(
    giver: Principal, user: str, *, groups: Iterable[str], levels: Iterable[str], scopes: Iterable[str]
) -> None:
    """Whether somebody may make a key with these rights: nobody gives what they do not have.

    Raises:
        ScopeMissing: It is for another user, and the giver may not act for others.
        KeyExceedsRights: It opens more than the giver's own credentials do.
    """
    if user != giver.id:
        require(giver, "act_as")
    some = (("group", frozenset(groups), giver.groups), ("level", frozenset(levels), giver.levels))
    for what, asked, own in (*some, ("scope", frozenset(scopes), giver.scopes)):
        allowed = asked if what != "group" and EVERY in own else own
        if beyond := sorted(asked - allowed):
            raise KeyExceedsRights(
                f"you do not have the {what} '{beyond[0][:80]}', so no key of yours to give has it; "
                "whoever may use `waystation keys create` gives any"
            )


def _both(some: frozenset[str], others: frozenset[str]) -> frozenset[str]:
    if EVERY in some:
        return others
    return some if EVERY in others else some & others
