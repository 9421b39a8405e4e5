"""The HTTP API and the board."""
