"""Why a database or a backup is not moved."""

from __future__ import annotations

from core.errors import Conflict, InvalidInput


class CopyRefused(Conflict):
    """The database cannot be copied as it is: threads are in flight, the target is not empty, it changed."""

    code = "copy_refused"
    title = "The database cannot be copied now"


class BackupInvalid(InvalidInput):
    """The folder is no whole backup of this release or an earlier one."""

    code = "backup_invalid"
    title = "This is no whole backup"
