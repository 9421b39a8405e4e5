"""The long fault suite: every scenario through a real broker into a real store; run by ``make faults``."""
