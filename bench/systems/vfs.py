"""What SQLite writes and syncs, counted between it and the files, whatever library it is used by.

A copy of SQLite's VFS becomes the default one. It opens files as before, and
puts counting functions before `xWrite` and `xSync` of each. A frame of the
write-ahead log begins with 24 bytes whose second word is not zero in the last
frame of a transaction (https://www.sqlite.org/fileformat2.html#walformat): so
commits are counted in what is written, not in what was asked for.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p

FRAME_HEAD = 24

# The name is an address: SQLite keeps it, and reads parameters behind its end.
_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)


class _Vfs(Structure):
    """sqlite3_vfs, of which only these are looked at."""

    _fields_ = (
        ("version", c_int),
        ("file_size", c_int),
        ("longest_path", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", c_void_p),
        ("others", c_void_p * 15),
    )


class _Methods(Structure):
    """sqlite3_io_methods, of which only these are looked at."""

    _fields_ = (
        ("version", c_int),
        ("close", c_void_p),
        ("read", c_void_p),
        ("write", c_void_p),
        ("truncate", c_void_p),
        ("sync", c_void_p),
        ("others", c_void_p * 13),
    )


_INSTALLED: list[object] = []


class CountingVfs:
    """Counts from `install` on, for every connection that is opened later.

    `counts` has `commits`, `syncs`, `log bytes` (of write-ahead logs) and `file
    bytes` (of everything else: databases, when the log is copied into them).
    """

    def __init__(self, counts: Counter[str]) -> None:
        self.counts = counts
        self._logs: dict[int, bool] = {}
        self._methods: dict[int, _Methods] = {}
        self._kept: list[object] = []
        # SQLite does not count as one who still needs it.
        _INSTALLED.append(self)

    def install(self) -> None:
        """Become the VFS of this process.

        Raises:
            AttributeError: Python's sqlite3 has its library built in, out of reach.
        """
        import _sqlite3  # noqa: PLC0415 - only for where it is

        library = ctypes.CDLL(_sqlite3.__file__)
        library.sqlite3_vfs_find.restype = POINTER(_Vfs)
        found = library.sqlite3_vfs_find(None)
        mine = _Vfs()
        ctypes.memmove(ctypes.byref(mine), found, ctypes.sizeof(_Vfs))
        opened = _OPEN(found.contents.open)
        address = ctypes.cast(found, c_void_p).value

        def open_file(_: int, name: int | None, file: int, flags: int, told: int) -> int:
            done: int = opened(address, name, file, flags, told)
            if done == 0:
                self._logs[file] = name is not None and ctypes.string_at(name).endswith(b"-wal")
                self._watch(file)
            return done

        mine.name = b"counting"
        mine.open = self._pointer(_OPEN(open_file))
        self._kept.append(mine)
        assert library.sqlite3_vfs_register(ctypes.byref(mine), 1) == 0

    def _pointer(self, function: object) -> int | None:
        # SQLite goes on calling it: it must not be collected.
        self._kept.append(function)
        return ctypes.cast(function, c_void_p).value  # type: ignore[arg-type]  # a function pointer

    def _watch(self, file: int) -> None:
        """Put the counting methods of its kind into an opened file."""
        place = c_void_p.from_address(file)
        kind = place.value
        assert kind
        if kind not in self._methods:
            self._methods[kind] = self._counting(_Methods.from_address(kind))
        place.value = ctypes.addressof(self._methods[kind])

    def _counting(self, methods: _Methods) -> _Methods:
        mine = _Methods()
        ctypes.memmove(ctypes.byref(mine), ctypes.byref(methods), ctypes.sizeof(_Methods))
        write, sync = _WRITE(methods.write), _SYNC(methods.sync)

        def counted_write(file: int, data: int, size: int, offset: int) -> int:
            self._wrote(file, data, size)
            return int(write(file, data, size, offset))

        def counted_sync(file: int, flags: int) -> int:
            self.counts["syncs"] += 1
            return int(sync(file, flags))

        mine.write = self._pointer(_WRITE(counted_write))
        mine.sync = self._pointer(_SYNC(counted_sync))
        return mine

    def _wrote(self, file: int, data: int, size: int) -> None:
        log = self._logs[file]
        self.counts["log bytes" if log else "file bytes"] += size
        if log and size == FRAME_HEAD and any(ctypes.string_at(data + 4, 4)):
            self.counts["commits"] += 1
