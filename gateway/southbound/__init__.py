"""The edge towards devices: broker, accounts, commands."""
