"""HTTP and the command line: the only part that knows of status codes."""
