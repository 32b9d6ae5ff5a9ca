"""How long something may take that is promised to be quick, on a machine that is not."""

from __future__ import annotations

# Where the alternative is to wait for what never comes: a test tells the two apart, and measures nothing.
A_BUSY_MACHINE_S = 10.0
