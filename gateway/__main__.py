"""``python -m gateway`` is the ``village`` command, also where its script is not on the path."""

from gateway.cli import main

main()
