"""One attempt of a run: the repair of its thread, its way through the graph, how it ends."""
