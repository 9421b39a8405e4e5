"""Faults of the simulators: drawn by seed, each doing what it says, with the truth written down."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import get_args
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from devices.codecs import Context, native
from devices.observation import RefusedError
from devices.profile import shipped_profiles
from simulators.faults import MEANING, DeviceKind, Fault, LinkKind, SensorKind, WorldKind, fault_keys
from simulators.fleet import Fleet, build
from simulators.link import Fate
from simulators.local_time import DAY, FIRST, HOUR, month_start
from simulators.scenario import ScenarioError, parse_scenario
from simulators.stream import Stream, Uplink, history
from simulators.truth import Truth

START = month_start((2026 - 1970) * 12 + 7)
"""2026-08-01 00:00 in Viet Nam."""

PLACE = """
title_vi = "Thử"
title_en = "Test"
[interval]
lamp = 60
tap = 60
[[street]]
commune = "10642"
name = "đường thử"
cabinet = "cabinet-1"
cabinet_name = "Tủ thử"
first = 1
lamps = 6
path = [[20.99, 106.28], [20.98, 106.28]]
[[tap]]
device = "tap-1"
commune = "10642"
name = "Điểm đo"
position = [20.98, 106.29]
"""


KINDS = {"lamp": "native_streetlight", "cabinet": "native_lamp_cabinet", "tap": "native_tap_water"}
DECODERS = {kind: native.decoder(shipped_profiles()[profile]) for kind, profile in KINDS.items()}


def fleet(*faults: str, seed: int = 1) -> Fleet:
    """Six lamps, a cabinet and a tap with these faults (bodies of ``[[fault]]``)."""
    plan = parse_scenario(PLACE + "".join(f"\n[[fault]]\n{fault}\n" for fault in faults), "test")
    return build(plan, seed, START + 30 * DAY)


def between(start: float, stop: float) -> str:
    """The line of a fault that is there from ``start`` to ``stop`` hours after ``START``."""
    moments = [np.datetime64(round(START + hours * HOUR), "s").item().isoformat() + "Z" for hours in (start, stop)]
    return f"between = [{moments[0]}, {moments[1]}]"


def sent(of: Fleet, hours: float, device: str = "", start: float = START) -> list[Uplink]:
    """What a fleet sends from ``start`` on, of one device or all."""
    return [u for u in Stream(of, start).take(start + hours * HOUR) if device in {"", u.device}]


def decoded(uplink: Uplink) -> dict[str, float]:
    """The values a gateway reads from the bytes."""
    message = DECODERS[uplink.device.split("-")[0]](
        uplink.note.payload, Context("up", ZoneInfo("Asia/Ho_Chi_Minh"), {})
    )
    return {one.property: one.value for one in message.observations}


def observed(uplink: Uplink) -> float:
    """Seconds since 1970 by the device's clock."""
    assert uplink.report.observed_at is not None
    return uplink.report.observed_at / 1e9


# the data ----------------------------------------------------------------------------------------------------------


def test_every_kind_is_explained() -> None:
    kinds = {kind for group in (WorldKind, SensorKind, DeviceKind, LinkKind) for kind in get_args(group)}
    assert set(MEANING) == kinds


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ('kind = "lost"\ndevices = "*"', "name exactly one of always, between, daily, every_days"),
        ('kind = "lost"\ndevices = "*"\nalways = true\nevery_days = 3', "name exactly one of"),
        ('kind = "lost"\ndevices = "*"\nalways = true\nchance = 1.5', "less than or equal to 1"),
        ('kind = "late"\ndevices = "*"\nalways = true\nsize = [1, 7200]', "at most 3600"),
        ('kind = "outage"\ndevices = "*"\nalways = true', "an outage ends"),
        ('kind = "spike"\ndevices = "*"\nalways = true', "say which value a spike concerns"),
        ('kind = "lamp_out"\ndevices = "*"\ndaily = ["03:00", "04:00"]', "a lamp_out lasts"),
        ('kind = "silent"\ndevices = "*"\ndaily = ["3 pm", "04:00"]', "is not a time of day"),
        ('kind = "silent"\ndevices = "*"\nbetween = [2026-08-01T00:00:00, 2026-08-02T00:00:00]', "with an offset"),
        ('kind = "silent"\ndevices = "*"\nbetween = [2026-08-02T00:00:00Z, 2026-08-01T00:00:00Z]', "the earlier one"),
        ('kind = "babbling"\ndevices = "*"\nalways = true', "2 to 100"),
        ('kind = "spike"\ndevices = "*"\nproperty = "ph"\nalways = true\nsize = [3, 2]', "the smaller number first"),
        ('kind = "melted"\ndevices = "*"\nalways = true', "kind"),
    ],
)
def test_an_impossible_fault_is_named_in_one_line(fault: str, words: str) -> None:
    with pytest.raises(ScenarioError) as error:
        parse_scenario(f"{PLACE}\n[[fault]]\n{fault}\n", "test.toml")
    text = str(error.value)
    assert text.startswith("test.toml: fault.0")
    assert words in text
    assert "\n" not in text


def test_drawn_spells_come_once_in_a_span_and_do_not_depend_on_where_one_looks() -> None:
    fault = Fault(kind="silent", devices="*", every_days=10, hours=12)
    keys = fault_keys(1, ["a", "b"])
    of_a, of_b = (fault.spells(keys[number : number + 1], START, START + 300 * DAY) for number in (0, 1))
    assert len(of_a) in range(29, 32)
    assert of_a != of_b
    assert of_a == fault.spells(keys[:1], FIRST, START + 900 * DAY)[-(len(of_a)) - 60 :][: len(of_a)] or set(
        of_a
    ) <= set(fault.spells(keys[:1], FIRST, START + 900 * DAY))
    lengths = [spell.stop - spell.start for spell in of_a]
    assert 4 * HOUR < float(np.median(lengths)) < 30 * HOUR
    spell = of_a[3]
    inside = fault.current(np.repeat(keys[:1], 3), np.array([spell.start - 1.0, spell.start, spell.stop]))
    assert inside.inside.tolist() == [False, True, False]


def test_a_share_of_the_devices_has_the_fault_and_the_seed_says_which() -> None:
    names = [f"lamp-{number}" for number in range(2000)]
    fault = Fault(kind="lost", devices="lamp-*", share=0.1, always=True)
    first, second = (fault.meets(names, fault_keys(seed, names)) for seed in (1, 2))
    assert 150 < first.sum() < 250
    assert (first != second).any()
    assert (first == fault.meets(names, fault_keys(1, names))).all()
    assert not Fault(kind="lost", devices="cabinet-?", always=True).meets(names, fault_keys(1, names)).any()


def test_together_gives_all_devices_the_same_times() -> None:
    fault = Fault(kind="outage", devices="*", together=True, every_days=5, hours=2, size=(24, 24))
    keys = fault_keys(1, ["a", "b"])
    assert fault.spells(keys[:1], START, START + 50 * DAY) == fault.spells(keys[1:], START, START + 50 * DAY)


# what each kind does ------------------------------------------------------------------------------------------------


def test_without_faults_everything_is_kept_and_in_order() -> None:
    found = sent(fleet(), 1)
    assert len(found) == 6 * 60 + 12 + 60
    assert {uplink.fate for uplink in found} == {Fate.KEPT}
    assert [uplink.at for uplink in found] == sorted(uplink.at for uplink in found)


@pytest.mark.parametrize("kind", ["garbage", "truncated"])
def test_spoiled_bytes_are_refused_by_the_codec(kind: str) -> None:
    found = sent(fleet(f'kind = "{kind}"\ndevices = "lamp-*"\nalways = true\nchance = 0.2'), 2)
    refused = [uplink for uplink in found if uplink.fate is Fate.REFUSED]
    assert 100 < len(refused) < 200
    for uplink in refused:
        assert uplink.kinds == (kind,)
        with pytest.raises(RefusedError) as error:
            decoded(uplink)
        assert error.value.reason == {"garbage": "encoding", "truncated": "malformed"}[kind]


def test_lost_uplinks_are_counted_and_not_sent() -> None:
    found = sent(fleet('kind = "lost"\ndevices = "lamp-*"\nalways = true\nchance = 0.1'), 2)
    fates = Counter(uplink.fate for uplink in found)
    assert 40 < fates[Fate.LOST] < 110
    assert fates[Fate.LOST] + fates[Fate.KEPT] == 2 * (6 * 60 + 12 + 60)


@pytest.mark.parametrize(("kind", "retain"), [("duplicated", False), ("echo", True)])
def test_a_repeat_is_the_same_bytes_again(kind: str, retain: bool) -> None:
    found = sent(fleet(f'kind = "{kind}"\ndevices = "tap-1"\nalways = true\nsize = [5, 90]\nchance = 0.5'), 2, "tap-1")
    repeats = [uplink for uplink in found if uplink.fate is Fate.REPEATED]
    assert 35 < len(repeats) < 85
    for repeat in repeats:
        if repeat.report.at < START:
            # Measured before we listened, and still under way.
            continue
        first = next(u for u in found if u.fate is Fate.KEPT and u.note.payload == repeat.note.payload)
        assert 5.0 <= repeat.at - first.at <= 90.0
        assert repeat.note.retain is retain
        assert not first.note.retain


def test_late_uplinks_keep_their_own_time_and_overtake_nothing_they_should_not() -> None:
    found = sent(
        fleet('kind = "reordered"\ndevices = "tap-1"\nalways = true\nsize = [70, 110]\nchance = 0.3'), 3, "tap-1"
    )
    late = [uplink for uplink in found if "reordered" in uplink.kinds]
    assert len(late) > 20
    assert all(70.0 <= uplink.at - uplink.report.at <= 110.0 for uplink in late)
    numbers = [uplink.report.sequence or 0 for uplink in found]
    assert numbers != sorted(numbers)
    assert len(set(numbers)) == len(numbers)


def test_after_an_outage_what_the_device_remembers_comes_in_a_burst() -> None:
    found = sent(fleet(f'kind = "outage"\ndevices = "tap-1"\n{between(1, 4)}\nsize = [2, 2]'), 5, "tap-1")
    lost = [uplink for uplink in found if uplink.fate is Fate.LOST]
    burst = [uplink for uplink in found if uplink.kinds == ("outage",) and uplink.fate is Fate.KEPT]
    assert len(lost) == 60
    assert len(burst) == 120
    assert all(START + 4 * HOUR <= uplink.at < START + 4 * HOUR + 3.0 for uplink in burst)
    assert all(START + 2 * HOUR <= uplink.report.at < START + 4 * HOUR for uplink in burst)
    assert [uplink.report.at for uplink in burst] == sorted(uplink.report.at for uplink in burst)
    assert len({uplink.report.sequence for uplink in found}) == len(found) == 300


def test_a_silent_device_sends_nothing() -> None:
    found = sent(fleet('kind = "silent"\ndevices = "tap-1"\ndaily = ["01:00", "02:30"]'), 4, "tap-1")
    assert len(found) == 150
    assert not [uplink for uplink in found if START + HOUR <= uplink.at < START + 2.5 * HOUR]


def test_clocks_that_are_wrong_say_1970_or_tomorrow() -> None:
    unset = sent(fleet(f'kind = "clock_unset"\ndevices = "tap-1"\n{between(1, 2)}'), 3, "tap-1")
    wrong = [uplink for uplink in unset if uplink.kinds == ("clock_unset",)]
    assert len(wrong) == 60
    assert all(0.0 <= observed(uplink) < HOUR for uplink in wrong)
    ahead = sent(fleet('kind = "clock_ahead"\ndevices = "tap-1"\nalways = true\nsize = [26, 26]'), 1, "tap-1")
    assert {round(observed(uplink) - uplink.report.at, 3) for uplink in ahead} == {26 * HOUR}


def test_a_reboot_starts_the_counters_again_and_the_next_one_once_more() -> None:
    fault = 'kind = "reboot"\ndevices = "tap-1"\nproperty = "volume"\nevery_days = 1'
    found = sent(fleet(fault), 72, "tap-1")
    numbers = [uplink.report.sequence for uplink in found]
    assert numbers.count(0) == 3
    second = [place for place, number in enumerate(numbers) if number == 0][1]
    assert numbers[second - 1 : second + 3] == [numbers[second - 1], 0, 1, 2]
    assert decoded(found[second])["volume"] < 1.0 < decoded(found[second - 1])["volume"]


def test_a_sensor_drifts_sticks_spikes_and_mistakes_its_unit() -> None:
    def values(fault: str) -> list[float]:
        return [decoded(uplink)["supply_ph"] for uplink in sent(fleet(fault), 6, "tap-1")]

    right = values('kind = "lost"\ndevices = "nobody"\nalways = true')
    stuck = values(f'kind = "stuck"\ndevices = "tap-1"\nproperty = "supply_ph"\n{between(2, 6)}')
    assert stuck[:119] == right[:119]
    assert len(set(stuck[121:])) == 1
    drift = values(f'kind = "drift"\ndevices = "tap-1"\nproperty = "supply_ph"\nsize = [0.4, 0.4]\n{between(0, 6)}')
    assert abs(drift[-1] / right[-1] - 1.1) < 0.001
    spike = values(
        'kind = "spike"\ndevices = "tap-1"\nproperty = "supply_ph"\nsize = [3, 3]\nalways = true\nchance = 0.1'
    )
    changed = [place for place, value in enumerate(spike) if value != right[place]]
    assert 15 < len(changed) < 65
    assert all(abs(spike[place] - 3 * right[place]) < 1e-9 for place in changed)
    unit = values('kind = "wrong_unit"\ndevices = "tap-1"\nproperty = "supply_ph"\nsize = [1000, 1000]\nalways = true')
    assert unit == [round(value * 1000, 4) for value in right]


def test_a_battery_runs_down_and_then_there_is_silence() -> None:
    found = sent(fleet(f'kind = "dead_battery"\ndevices = "tap-1"\n{between(0, 10)}'), 11, "tap-1")
    levels = [decoded(uplink)["battery"] for uplink in found]
    assert levels[0] > 40.0
    assert levels[418] < 1.0
    assert len(found) == 420 + 60


def test_a_babbling_device_says_more_but_nothing_twice() -> None:
    found = sent(fleet(f'kind = "babbling"\ndevices = "tap-1"\nsize = [6, 6]\n{between(1, 2)}'), 3, "tap-1")
    extra = [uplink for uplink in found if uplink.kinds == ("babbling",)]
    assert len(extra) == 300
    assert all(uplink.report.sequence is None for uplink in extra)
    assert len({uplink.note.payload for uplink in found}) == len(found) == 480


def test_a_lost_circuit_silences_its_lamps_and_shows_in_the_cabinet() -> None:
    found = sent(fleet(f'kind = "circuit_loss"\ndevices = "cabinet-1"\n{between(20, 22)}'), 24)
    lamps = [uplink for uplink in found if uplink.device == "lamp-003"]
    assert len(lamps) == 22 * 60
    assert not [uplink for uplink in lamps if START + 20 * HOUR <= uplink.at < START + 22 * HOUR]
    power = {uplink.at: decoded(uplink)["power"] for uplink in found if uplink.device == "cabinet-1"}
    assert max(value for at, value in power.items() if START + 20 * HOUR <= at < START + 22 * HOUR) < 12.0
    assert max(value for at, value in power.items() if START + 19 * HOUR <= at < START + 20 * HOUR) > 300.0


def test_a_power_cut_silences_everything_and_starts_uptime_again() -> None:
    found = sent(fleet(f'kind = "power_cut"\ndevices = "*"\n{between(20, 21.5)}'), 24)
    assert {uplink.device for uplink in found} == {
        "tap-1",
        "cabinet-1",
        *(f"lamp-00{number}" for number in range(1, 7)),
    }
    cut = [u for u in found if START + 20 * HOUR <= u.at < START + 21.5 * HOUR]
    assert cut == []
    after = [u for u in found if u.at >= START + 21.5 * HOUR]
    for uplink in after:
        values = decoded(uplink)
        if "uptime" in values:
            assert values["uptime"] == pytest.approx(uplink.at - START - 21.5 * HOUR, abs=1.0)
    first = {u.device: u.report.sequence for u in reversed(after)}
    assert set(first.values()) == {0}
    energy = {u.device: decoded(u)["energy"] for u in after if "energy" in decoded(u)}
    dark = {u.device: decoded(u)["energy"] for u in sent(fleet(), 24) if "energy" in decoded(u)}
    assert all(dark[device] - energy[device] == pytest.approx(0.09, abs=0.02) for device in energy if "lamp" in device)
    # Six lamps of 60 W and the cabinet's own 9 W, for an hour and a half.
    assert dark["cabinet-1"] - energy["cabinet-1"] == pytest.approx(1.5 * (6 * 0.0603 * 1.025 + 0.009), rel=0.05)


def test_a_cabinet_feels_the_lamp_that_is_out() -> None:
    fault = 'kind = "lamp_out"\ndevices = "lamp-002"\nalways = true'
    with_it, without = (
        {u.at: decoded(u)["power"] for u in sent(of, 1, "cabinet-1", START + 20 * HOUR)}
        for of in (fleet(fault), fleet())
    )
    assert all(55.0 < without[at] - with_it[at] < 70.0 for at in without)


# restart, seeds, truth, history ------------------------------------------------------------------------------------

EVERYTHING = (
    'kind = "lost"\ndevices = "*"\nalways = true\nchance = 0.02',
    'kind = "late"\ndevices = "*"\nalways = true\nchance = 0.05\nsize = [30, 3000]',
    'kind = "duplicated"\ndevices = "*"\nalways = true\nchance = 0.03\nsize = [1, 200]',
    'kind = "echo"\ndevices = "lamp-00?"\nalways = true\nchance = 0.02\nsize = [10, 600]',
    'kind = "garbage"\ndevices = "*"\nalways = true\nchance = 0.02',
    'kind = "outage"\ndevices = "lamp-*"\nshare = 0.5\nevery_days = 0.3\nhours = 1\nsize = [1, 5]',
    'kind = "babbling"\ndevices = "tap-1"\nevery_days = 0.2\nhours = 1\nsize = [4, 4]',
    'kind = "reboot"\ndevices = "*"\nevery_days = 1',
    'kind = "clock_unset"\ndevices = "lamp-00[1-3]"\nevery_days = 0.5\nhours = 2',
    'kind = "stuck"\ndevices = "tap-1"\nproperty = "supply_ph"\nevery_days = 0.3\nhours = 2',
    'kind = "lamp_out"\ndevices = "lamp-*"\nevery_days = 3\nhours = 20',
)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    first, again, other = (sent(fleet(*EVERYTHING, seed=seed), 3) for seed in (1, 1, 2))
    assert first == again
    assert [uplink.note.payload for uplink in first] != [uplink.note.payload for uplink in other]


@pytest.mark.parametrize("hours", [0.5, 2.0, 3.7])
def test_a_scenario_restarted_in_the_middle_continues_identically(hours: float) -> None:
    whole = fleet(*EVERYTHING)
    stream = Stream(whole, START)
    before = stream.take(START + hours * HOUR)
    in_one_go = stream.take(START + 6 * HOUR)
    restarted = sent(fleet(*EVERYTHING), 6 - hours, start=START + hours * HOUR)
    assert [uplink for uplink in before if uplink.at >= START + hours * HOUR] == []
    assert restarted == in_one_go


def test_small_steps_give_what_one_large_step_gives() -> None:
    whole = sent(fleet(*EVERYTHING), 1)
    stream = Stream(fleet(*EVERYTHING), START)
    steps = [uplink for step in range(1, 201) for uplink in stream.take(START + step * 18.0)]
    assert steps == whole


def test_the_truth_names_every_message_and_its_fate(tmp_path: Path) -> None:
    found = sent(fleet(*EVERYTHING), 2)
    with Truth(tmp_path / "truth.jsonl") as truth:
        truth.write(found)
    lines = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == len(found)
    assert Counter(line["fate"] for line in lines) == {fate.value: number for fate, number in truth.fates.items()}
    for line, uplink in zip(lines, found, strict=True):
        assert (line["device"], line["topic"]) == (uplink.device, uplink.note.topic)
        assert ("values" in line) == (uplink.fate in {Fate.KEPT, Fate.REPEATED})
        if "values" in line:
            assert line["values"] == pytest.approx(decoded(uplink))
    assert {"kept", "repeated", "refused", "lost"} == {line["fate"] for line in lines}


def test_history_runs_into_real_time_without_a_seam() -> None:
    plan = parse_scenario(PLACE.replace("[interval]", "history_step_seconds = 300\n[interval]"), "test")
    whole = build(plan, 1, START + DAY)
    middle = START + 3 * HOUR
    past = [json.loads(line) for piece in history(whole, START, middle) for line in piece.lines]
    assert [line["observed_at"] for line in past] == sorted(line["observed_at"] for line in past)
    lamp = [line for line in past if line["device"] == "lamp-004"]
    assert len(lamp) == 36
    assert [after["seq"] - before["seq"] for before, after in pairwise(lamp)] == [5] * 35
    # The past is a part of what would have been sent then, byte for byte but for the device's name in front.
    then = {u.report.sequence: json.loads(u.note.payload) for u in sent(whole, 3, "lamp-004")}
    assert all(then[line["seq"]] | {"device": "lamp-004"} == line for line in lamp)
    live = sent(whole, 1, "lamp-004", middle)
    assert len(live) == 60
    assert 0 < (live[0].report.sequence or 0) - lamp[-1]["seq"] <= 5
