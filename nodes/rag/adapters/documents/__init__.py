"""One reader for each kind of document: bytes in, parts out. `child` runs them."""
