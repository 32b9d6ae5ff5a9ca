"""How the offline model reads a request: pure functions, no network, no weights, no clock."""
