"""One reader for each kind of document: bytes in, parts out. `nodes.rag.reading.child` runs them."""
