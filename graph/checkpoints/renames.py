"""What the graph once called otherwise: two tables that a release with other names fills in.

A checkpoint names the steps that come next, and those that ran. A release that
gives a step another name writes the old one down here; then threads that stand
before it, pause in it or have called it go on as if it had always had its new
name. docs/deploy.md says how to go about it.
"""

from __future__ import annotations

from collections.abc import Mapping

# Steps: old name -> new name. An entry may go when no checkpoint has the old name any more,
# that is when `waystation deploy check --all` no longer lists it as mapped.
RENAMED: Mapping[str, str] = {}

# Channels that the graph no longer has and that no release will read again. Values of all other unknown
# channels are kept, so that a release that is rolled back finds them again.
FORGOTTEN: frozenset[str] = frozenset()
