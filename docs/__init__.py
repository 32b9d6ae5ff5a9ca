"""The handbook, and the reference that is generated from the code."""
