"""The reference pages made from data: which devices are supported, and what can be observed."""

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from devices.profile import Profile, shipped_profiles
from devices.vocabulary import VOCABULARY, Measurement

EvidenceKind = Literal["published", "captured", "constructed"]

EVIDENCE: dict[EvidenceKind, str] = {
    "published": "Bytes and values both stand in the maker's document or official codec tests, and are a golden case.",
    "captured": "A real device's message, taken down by a person who has one, is a golden case.",
    "constructed": "Made from a description of the format; no message with known values has been seen yet.",
}
"""What each kind of ``Evidence.kind`` says about a profile, best first."""

DOMAINS = {
    Measurement.STREETLIGHT: ("Street lighting and electricity", "Chiếu sáng và điện"),
    Measurement.WATER_QUALITY: ("Rivers, canals, levels", "Nước mặt và mực nước"),
    Measurement.WATER_SUPPLY: ("Piped water", "Cấp nước"),
    Measurement.AIR_QUALITY: ("Air", "Không khí"),
    Measurement.WEATHER: ("Weather", "Thời tiết"),
    Measurement.DEVICE: ("The device itself", "Bản thân thiết bị"),
}
"""Headings of the pages, English and Vietnamese."""

_RULES = (
    "The name is the field in the store, the attribute in the API and the word in a profile; the unit (UCUM) is the "
    "only one it is stored in. Outside the physical range a value is a failed sensor (quality 4); outside the "
    "plausible range, or faster than the rate per minute, it is suspect (quality 3)."
)
_MADE = "<!-- Made by `village devices supported --write-docs`; edit the data, not this page. -->"


def by_maker(profiles: Iterable[Profile]) -> list[Profile]:
    """Profiles in the order of the pages: by domain, maker, model."""
    order = {domain: number for number, domain in enumerate(DOMAINS)}
    return sorted(profiles, key=lambda p: (order.get(p.domain, len(order)), p.maker.casefold(), p.model.casefold()))


def count_evidence(profiles: Iterable[Profile]) -> dict[EvidenceKind, int]:
    """How many profiles there are of each kind of evidence."""
    counts = Counter(profile.evidence.kind for profile in profiles)
    return {kind: counts[kind] for kind in EVIDENCE}


def devices_page() -> str:
    """The text of ``docs/devices.md``."""
    profiles = list(shipped_profiles().values())
    counts = count_evidence(profiles)
    lines = [
        "# Supported devices",
        "",
        _MADE,
        "",
        f"{len(profiles)} device profiles. A profile is data: `devices/profiles/<id>.toml`. How sure we are of each:",
        "",
        "| evidence | profiles | means |",
        "|---|--:|---|",
        *(f"| {kind} | {counts[kind]} | {meaning} |" for kind, meaning in EVIDENCE.items()),
    ]
    for domain, (english, vietnamese) in DOMAINS.items():
        of_domain = [profile for profile in by_maker(profiles) if profile.domain == domain]
        if of_domain:
            lines += [
                "",
                f"## {english} · {vietnamese}",
                "",
                "| maker, model | profile | what it is | codec | reads | evidence |",
            ]
            lines += ["|---|---|---|---|---|---|", *(_row(profile) for profile in of_domain)]
    return "\n".join(lines) + "\n"


def _row(profile: Profile) -> str:
    names = ", ".join(dict.fromkeys(entry.name for entry in profile.properties))
    evidence = profile.evidence
    source = _cell(f"{evidence.kind}: {evidence.document}" + (f", {evidence.page}" if evidence.page else ""))
    what = f"{_cell(profile.description_vi)}<br>{_cell(profile.description_en)}"
    model = f"{_cell(profile.maker)} {_cell(profile.model)}"
    return f"| {model} | `{profile.id}` | {what} | {profile.codec} | {names} | {source} |"


def vocabulary_page() -> str:
    """The text of ``docs/vocabulary.md``."""
    lines = [
        "# Observed properties",
        "",
        _MADE,
        "",
        f"{len(VOCABULARY)} properties. {_RULES}",
    ]
    for domain, (english, vietnamese) in DOMAINS.items():
        lines += ["", f"## `{domain}`: {english} · {vietnamese}", ""]
        lines += [
            "| name | unit | English | tiếng Việt | physical | plausible | rate | FIWARE |",
            "|---|---|---|---|---|---|--:|---|",
        ]
        for entry in VOCABULARY.values():
            if entry.measurement == domain:
                ranges = f"{_span(entry.low, entry.high)} | {_span(entry.plausible_low, entry.plausible_high)}"
                rate = f"{entry.rate:g}" if entry.rate else ""
                words = f"{_cell(entry.en)} | {_cell(entry.vi)}"
                lines.append(f"| `{entry.name}` | `{entry.unit}` | {words} | {ranges} | {rate} | {entry.ngsi} |")
    return "\n".join(lines) + "\n"


def _span(low: float, high: float) -> str:
    return f"{low:g} .. {high:g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


PAGES = {"devices.md": devices_page, "vocabulary.md": vocabulary_page}
"""File name in ``docs/`` to what writes it."""
