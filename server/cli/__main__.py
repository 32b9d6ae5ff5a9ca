"""`python -m server.cli`: the command `waystation`."""

from server.cli.main import main

main()
