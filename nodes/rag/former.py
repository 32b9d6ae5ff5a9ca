"""Indexes as earlier versions named them: one for each model that an endpoint had.

Now a source has one index, and its manifest says whose vectors are in it, so that another model's can
be made beside it while it is searched. What is there of the configured model is taken over, since
vectors cost time and money.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from nodes.rag.manifest import IndexPlace, ManifestFile, alone, files_of


def adopt(root: Path, former: str, name: str, *, model: str) -> None:
    """Let what stands under the name `former` be the index `name`. One who is killed has changed nothing.

    Args:
        root: The folder of all indexes.
        model: Whose vectors it has.
    """
    if not ManifestFile(root, former).there():
        return
    with alone(root / f"{name}.lock") as mine:
        if mine and ManifestFile(root, former).there():
            _take_over(IndexPlace(root, former), IndexPlace(root, name), model)


def _take_over(before: IndexPlace, place: IndexPlace, model: str) -> None:
    there, folder = before.now(), place.new()
    try:
        for path in files_of(there, before.name):
            _second_name(path, folder / path.name.replace(before.name, place.name, 1))
        manifest = ManifestFile(folder, place.name)
        # Replaced, not written into: until the end the file has two names.
        manifest.write(replace(manifest.read(), model=model))
        place.take(folder)
    except BaseException:
        place.drop(folder)
        raise
    before.forget()


def _second_name(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.copytree(path, target, copy_function=_linked)
    else:
        _linked(path, target)


def _linked(path: str | Path, target: str | Path) -> None:
    try:
        os.link(path, target)
    except OSError:  # a file system without second names
        shutil.copy2(path, target)
