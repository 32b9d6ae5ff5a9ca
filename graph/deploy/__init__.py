"""Whether the threads of the release that runs would go on under this one: read, never touched."""
