"""The command `waystation`, also as `python -m waystation`."""

INTERRUPTED = 130


def main() -> None:
    """Run the command line. Ctrl-C while it loads ends it as at any later time, with exit code 130."""
    try:
        from server.cli.main import main as run  # noqa: PLC0415 - inside, so that Ctrl-C finds us
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    run()


if __name__ == "__main__":
    main()
