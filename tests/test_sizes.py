"""docs/sizes.md says what docs/sizes.json measured, and what is shipped fits a card of 32 GB."""

import json
import tomllib

from gateway.settings_neighbours import StorePlace
from tests.sizes import CARD_GB, DEVICES, DOCS, GB, JOURNAL_GB, PER_YEAR, SYSTEM_GB, WEEKS, render


def figures() -> dict[str, float]:
    found: dict[str, float] = json.loads((DOCS / "sizes.json").read_text("utf-8"))
    return found


def test_the_page_is_made_from_the_figures() -> None:
    assert (DOCS / "sizes.md").read_text("utf-8") == render(figures())


def test_what_is_shipped_fits_a_card_of_32_gb() -> None:
    journal = tomllib.loads((DOCS.parent / "deploy" / "village.toml").read_text("utf-8"))["journal"]
    shipped = (journal["max_mb"] + journal["raw_max_mb"] + journal["refused_max_mb"]) * 2**20 / GB
    assert shipped == JOURNAL_GB
    room = CARD_GB - SYSTEM_GB - JOURNAL_GB
    assert StorePlace().max_mb * 2**20 / GB < room
    assert figures()["influxdb"] * PER_YEAR * DEVICES / GB * WEEKS / 52 < room
    script = (DOCS.parent / "deploy" / "influxdb_accounts.py").read_text("utf-8")
    assert f'"VILLAGE_RAW_RETENTION", "{WEEKS}w"' in script
