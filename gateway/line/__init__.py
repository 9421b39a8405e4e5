"""The straight line: an uplink becomes judged readings, is committed, acknowledged."""
