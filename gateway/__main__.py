"""``village``, and ``python -m gateway``: loads only what is asked for, and Ctrl-C meanwhile ends it quietly."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        if sys.argv[1:] == ["--version"]:
            # For scripts: all packages together take a second or two to load.
            from importlib.metadata import version  # noqa: PLC0415

            sys.stdout.write(f"{version('smart-village-gateway')}\n")
        else:
            from gateway import cli  # noqa: PLC0415

            cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
