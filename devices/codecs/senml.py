"""SenML: a pack of records with base fields, as JSON or CBOR.

Source: RFC 8428 (sections 4 to 6); units by RFC 8798 and the IANA registry.

Payload, JSON (the profile's option ``format``, default ``json``) or CBOR (``cbor``, labels are integers)::

    [{"bn": "urn:dev:mac:0024befffe804ff1/", "bt": 1785557106, "n": "temperature", "u": "Cel", "v": 27.1},
     {"n": "ph", "v": 7.2, "t": -60}]

    label      CBOR     is                  label      CBOR     is
    bn          -2      base name           n           0       name, appended to bn
    bt          -3      base time [s]       t           6       time, added to bt
    bu          -4      base unit           u           1       unit; without any, the profile's unit is meant
    bv          -5      base value          v           2       number, added to bv
    bs          -6      base sum            s           5       sum (not a reading: it is checked and left out)
    bver        -1      version, up to 10   vs, vb, vd  3, 4, 8  text, boolean, bytes
                                            ut          7       update time

Base fields hold for their record and all after it. A property's ``path`` in the profile is the whole name, or ``n``, or
what follows the name's last ``/`` or ``:``. Times under 2^28 count from the moment of receipt.
"""

import json
import re
from collections.abc import Mapping
from decimal import Decimal

from devices.codecs import Context, Decoder, times
from devices.codecs.field_values import Field, allow_options, compile_names, last_each, written
from devices.codecs.json_text import number, read_json
from devices.codecs.senml_cbor import Record, read_cbor, write_cbor
from devices.codecs.senml_units import NAMES, UNITS, SenmlUnit
from devices.observation import Message, Observation, Reason, RefusedError
from devices.profile import Profile, ProfileError
from devices.units import conversion

VERSION = 10
"""Of RFC 8428; lower numbers were drafts' with the same meaning."""

_RELATIVE_BELOW = 2**28 * times.SECOND
_PLAIN = frozenset({"n", "u", "v", "t"})
_VALUES = ("v", "vs", "vb", "vd")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*\Z")
_BASE64URL = re.compile(r"[A-Za-z0-9_\-]*\Z")
_LONGEST_NAME = 256
_MOST_NAMES = 1000


def decoder(profile: Profile) -> Decoder:
    """Compile the decoder of one profile.

    Raises:
        ProfileError: an unknown option or format, two properties of one name, or a scaled one.
    """
    allow_options(profile, "format")
    read = {"json": read_json, "cbor": read_cbor}.get(profile.options.get("format", "json"))
    if read is None:
        raise ProfileError(f"{profile.id}: options.format: must be json or cbor")
    if any(entry.scale != 1.0 or entry.shift for entry in profile.properties):
        raise ProfileError(f"{profile.id}: SenML states its units: no scale or shift")
    names = _Names(compile_names(profile))

    def decode(payload: bytes, context: Context) -> Message:
        records = read(payload)
        if type(records) is not list:
            raise RefusedError(Reason.MALFORMED, "a SenML pack is an array of records")
        pack = _Pack(names, context.received_at)
        for record in records:
            if type(record) is not dict:
                raise RefusedError(Reason.MALFORMED, "a SenML record is an object")
            pack.take(record)
        if not pack.observations:
            raise RefusedError(Reason.NO_READING, f"nothing of profile {profile.id} is in the pack")
        return Message(last_each(pack.observations))

    return decode


class _Names:
    """What names and units mean for one profile; devices repeat the same few, so each is worked out once."""

    def __init__(self, fields: dict[str, Field]) -> None:
        self._fields = fields
        self._known: dict[tuple[str, str], tuple[Field | None, str]] = {}
        self._units: dict[tuple[str, str, str], SenmlUnit] = {}

    def find(self, base: str, own: str) -> tuple[Field | None, str]:
        """The field of a resolved name, None if the profile has none, and what stands before it: the device.

        Raises:
            RefusedError: ``malformed`` if it is no name.
        """
        known = self._known.get((base, own))
        if known is None:
            known = self._resolve(base + own, own)
            if len(self._known) >= _MOST_NAMES:
                self._known.clear()
            self._known[base, own] = known
        return known

    def _resolve(self, name: str, own: str) -> tuple[Field | None, str]:
        if len(name) > _LONGEST_NAME or _NAME.match(name) is None:
            raise RefusedError(Reason.MALFORMED, "a name needs a letter or digit first, then also - : . / _")
        last = max(name.rfind("/"), name.rfind(":")) + 1
        for known in (name, own, name[last:]):
            field = self._fields.get(known)
            if field is not None:
                return field, name.removesuffix(known)
        return None, ""

    def unit(self, field: Field, stated: str) -> SenmlUnit:
        """The UCUM unit of a record's unit; the profile's if the record states none.

        Raises:
            RefusedError: ``unit`` if it cannot express the property.
        """
        # With the declared unit: a property may have two paths in two units.
        known = self._units.get((field.name, field.unit, stated))
        if known is None:
            known = UNITS.get(stated) if stated else SenmlUnit(field.unit)
            if known is None or (known.ucum != field.unit and conversion(field.name, known.ucum) is None):
                raise RefusedError(Reason.UNIT, f"{field.name}: SenML unit {stated[:32]!r} cannot express it")
            # Bounded: only units of the table ever get here.
            self._units[field.name, field.unit, stated] = known
        return known


class _Pack:
    """The base fields so far, and what the records said under them."""

    def __init__(self, names: _Names, received_at: int) -> None:
        self.observations: list[Observation] = []
        self._names = names
        self._received_at = received_at
        self._base_name, self._base_unit = "", ""
        self._base_value, self._base_time = 0.0, 0
        self._version: int | None = None
        self._device: str | None = None

    def take(self, record: Record) -> None:
        """Read one record.

        Raises:
            RefusedError: ``unsupported`` (version, label with ``_``), ``malformed`` (name, count of values),
                ``field_type``, ``not_finite``, ``clock``, ``unit``, ``integrity`` (two devices in one pack).
        """
        plain = record.keys() <= _PLAIN
        if not plain:
            self._unusual(record)
        field, device = self._names.find(self._base_name, _text(record, "n"))
        own_time = times.duration(record["t"], times.SECOND) if "t" in record else 0
        at = self._at(self._base_time + own_time)
        label = "v" if plain and "v" in record else _value_label(record)
        if label == "":
            return
        value = record[label]
        if label == "v":
            value = self._base_value + (value if type(value) is float else number(value, "v"))
        else:
            _check(label, value)
        if field is not None:
            self._observe(field, device, value, at, _text(record, "u") if label == "v" else None)

    def _observe(self, field: Field, device: str, value: object, at: int | None, unit: str | None) -> None:
        if device != self._device:
            if self._device is not None:
                raise RefusedError(Reason.INTEGRITY, "the pack speaks for several devices; send one pack for each")
            self._device = device
        if type(value) is bool and not field.texts and field.unit == "1":
            value = 1.0 if value else 0.0
        found = field.value(value)
        if found is not None:
            ucum, factor = (field.unit, 1.0) if unit is None else self._names.unit(field, unit or self._base_unit)
            if factor != 1.0:
                found = number(found * factor, field.name)
            self.observations.append(Observation(field.name, found, ucum, at))

    def _unusual(self, record: Record) -> None:
        """Every label besides name, unit, value and time."""
        for label in record:
            if label.endswith("_"):
                raise RefusedError(Reason.UNSUPPORTED, f"the label {label[:80]!r} must be understood and is not known")
        for label in ("bs", "s", "ut"):
            if label in record:
                number(record[label], label)
        self._check_version(record)
        if "bn" in record:
            self._base_name = _text(record, "bn")
        if "bu" in record:
            self._base_unit = _text(record, "bu")
        if "bv" in record:
            self._base_value = number(record["bv"], "bv")
        if "bt" in record:
            self._base_time = times.duration(record["bt"], times.SECOND)

    def _check_version(self, record: Record) -> None:
        version = record.get("bver", VERSION)
        if type(version) is not int or version < 1:
            raise RefusedError(Reason.FIELD_TYPE, "bver must be a whole number above 0")
        if version > VERSION:
            raise RefusedError(Reason.UNSUPPORTED, f"SenML version {version} is newer than {VERSION}")
        if "bver" in record and self._version not in {None, version}:
            raise RefusedError(Reason.MALFORMED, "all records of a pack have the same version")
        self._version = self._version or version

    def _at(self, at: int) -> int | None:
        """A resolved time [ns], absolute or relative, as nanoseconds UTC; None for "now"."""
        if at < _RELATIVE_BELOW:
            if at == 0:
                return None
            if self._received_at == 0:
                raise RefusedError(Reason.CLOCK, "a time relative to now, and the time of receipt is not known")
            at += self._received_at
        if not times.EARLIEST <= at <= times.LATEST:
            raise RefusedError(Reason.CLOCK, "the time lies outside the years 1678 to 2262")
        return at


def _value_label(record: Record) -> str:
    """Which of the four values a record has; empty if it has only a sum."""
    labels = [label for label in _VALUES if label in record]
    if len(labels) > 1 or (not labels and "s" not in record):
        raise RefusedError(Reason.MALFORMED, "a record has exactly one of v, vs, vb, vd")
    return labels[0] if labels else ""


def _text(record: Record, label: str) -> str:
    found = record.get(label, "")
    if type(found) is not str:
        raise RefusedError(Reason.FIELD_TYPE, f"{label} must be text")
    return found


def _check(label: str, value: object) -> None:
    """A text, boolean or bytes value must be what its label says, also where nobody asks for it."""
    kind = {"vs": str, "vb": bool}.get(label)
    if kind is not None and type(value) is not kind:
        raise RefusedError(Reason.FIELD_TYPE, f"{label} must be {'text' if label == 'vs' else 'true or false'}")
    if label == "vd" and not isinstance(value, bytes):
        if type(value) is not str:
            raise RefusedError(Reason.FIELD_TYPE, "vd must be bytes, in JSON as base64url text")
        if _BASE64URL.match(value) is None or len(value) % 4 == 1:
            raise RefusedError(Reason.MALFORMED, "vd is not base64url without padding")


def encode(profile: Profile, values: Mapping[str, float], observed_at: int | None = None) -> bytes:
    """Write a pack that the profile's decoder reads back.

    Args:
        values: canonical values; those the profile does not have are left out.
        observed_at: nanoseconds UTC, written as the base time in whole microseconds.
    """
    cbor = profile.options.get("format", "json") == "cbor"
    pack: list[Record] = []
    for name, field in compile_names(profile).items():
        found = written(field, values)
        if found is not None:
            pack.append({"n": name, "v" if type(found) is float else "vs": found})
            if field.unit in NAMES:
                pack[-1]["u"] = NAMES[field.unit]
    if pack and observed_at is not None:
        at = Decimal(observed_at // 1000) / 1_000_000
        pack[0] = {"bt": at if cbor else float(at)} | pack[0]
    if cbor:
        return write_cbor(pack)
    return json.dumps(pack, separators=(",", ":"), allow_nan=False).encode()
