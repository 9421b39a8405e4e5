"""Devices that do not exist: signals, faults, fleets, scenarios, replay."""
