"""What a request passes before a route sees it: who calls, how much may come in, what browsers may do."""
