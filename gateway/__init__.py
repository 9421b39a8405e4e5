"""The gateway: the line from the broker to the stores, what readings mean, the API and the board."""
