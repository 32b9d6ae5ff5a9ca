"""The module under test is importable; in a repository of its own it would be installed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
