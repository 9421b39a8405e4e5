"""How alerts are named in the store: measurement ``alert``, tags ``commune`` and ``device``, fields by rule.

Examples::

    alert,commune=10642,device=lamp-017 lamp_out=2,lamp_out_severity=2,lamp_out_value=0.7,lamp_out_limit=5,...
    alert,commune=10642,device=- streetlight_warning=3,streetlight_critical=0,...

The first kind is written with every change of state: 0 resolved, 1 pending, 2 firing, 3 acknowledged. Alerts of a
circuit have its cabinet as device, or its name where it has none; those of a commune have ``-``, those of the gateway
the part's name. ``_check`` beside a rule's name means "check the sensor, or danger". The second kind counts, once a
minute, the alerts of a commune that are firing or acknowledged and not explained by another, by domain and severity.
"""

NOBODY = "-"
"""Tag ``device`` of lines that are about a commune; no device can have this name."""
GATEWAY = "gateway"
"""Tag ``commune`` of lines about the gateway itself."""
CHECK = "_check"
SEVERITY, VALUE, LIMIT, SINCE, EXPLAINED = "_severity", "_value", "_limit", "_since", "_explained"
"""Endings of the fields beside a rule's state: 1 info to 3 critical; what was seen; what it is compared with; seconds
since 1970 UTC when it began; 1 if another alert explains it."""

SILENT_DEVICES = "silent_devices"
"""Field of the second kind: how many devices are silent, also those whose silence another alert explains. A panel that
asked each of 5,000 devices for its state would take seconds."""


def count_field(domain: str, severity: str) -> str:
    """The field that counts alerts.

    >>> count_field("water_supply", "critical")
    'water_supply_critical'
    """
    return f"{domain}_{severity}"
