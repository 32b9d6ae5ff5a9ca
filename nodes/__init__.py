"""The modules of a turn, one folder each, blind to each other."""

import sys
from importlib import import_module

# `python -m nodes.X.cli` begins here. Whether `core` is ours says the public face, which stands before all of
# them: by its name, since modules know nothing of it.
if sys.argv[0] == "-m":
    import_module("waystation")
