"""One writer per page of `docs/reference`; each has `page()`, which gives the whole text."""
