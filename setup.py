"""What pyproject.toml cannot say: a wheel carries the handbook, the example configuration and the notebooks.

They stand at the root of the checkout, where people look for them, and in `waystation/shipped` of a
wheel, laid out alike: the links of the pages and the paths of the configuration hold in both.
"""

from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
CARRIED = (
    "*.md",
    "config/*",
    "docs/*.md",
    "docs/decisions/*.md",
    "docs/operations/*",
    "docs/pictures/*",
    "docs/reference/*",
    "notebooks/*.ipynb",
)


class Build(build_py):
    """`build_py`, and copies of what stands outside of the packages."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for source, target in self._carried():
            target.parent.mkdir(parents=True, exist_ok=True)
            copyfile(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """With the copies, which the installer of the wheel has to know."""
        return [*super().get_outputs(include_bytecode), *(str(target) for _, target in self._carried())]

    def _carried(self) -> Iterator[tuple[Path, Path]]:
        target = Path(self.build_lib, "waystation", "shipped")
        for pattern in CARRIED:
            for source in sorted(ROOT.glob(pattern)):
                yield source, target / source.relative_to(ROOT)


setup(cmdclass={"build_py": Build})
