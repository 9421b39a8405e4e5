"""The book of alerts: states, causes, silences, and who is told."""

from collections.abc import Sequence

import pytest

from devices.alert_rules import AlertRule, AlertState, Severity
from devices.standards import shipped
from gateway.analytics.alert_book import MINUTE, AlertBook, AlertChange, Key, Place, Silence

RULES = {rule.code: rule for rule in shipped().alerts.rules}
USED: tuple[AlertRule, ...] = (
    RULES["lamp_out"],
    RULES["circuit_out"],
    RULES["commune_silent"],
    RULES["lamp_failure_reported"],
)
OUT, CIRCUIT, COMMUNE = 0, 1, 2


def covers(key: Key, rule: int) -> Sequence[Key]:
    """Ten devices a group, ten groups a commune."""
    if key.scope == "device":
        return (
            Key(rule, "device", key.number),
            Key(rule, "group", key.number // 10),
            Key(rule, "commune", key.number // 100),
        )
    return Key(rule, "group", key.number), Key(rule, "commune", key.number // 10)


def place(key: Key) -> Place:
    """Names from numbers."""
    commune = {"device": key.number // 100, "group": key.number // 10}.get(key.scope, key.number)
    return Place(key.scope, f"{key.scope}-{key.number}", str(commune), f"{key.scope}-{key.number}")


def a_book() -> AlertBook:
    """An empty one."""
    return AlertBook(
        USED,
        place,
        covers,
        lambda _key, ended_at, now: now - ended_at >= 15 * MINUTE,
        lambda key: f"group-{key.number // 10}",
    )


def states(changes: list[AlertChange]) -> list[tuple[str, str, bool]]:
    """Which alert went where, and whether people are told."""
    return [(change.id, change.state.value, change.notify) for change in changes]


LAMP = Key(OUT, "device", 7)
LAMP_ID = "lamp_out/device/0/device-7"


def test_an_alert_is_pending_until_it_has_lasted_long_enough() -> None:
    """Then it fires once, with the time it began."""
    book = a_book()
    book.beyond(LAMP, 100 * MINUTE, 5.0, 1.0, hold=30 * MINUTE)
    assert states(book.changes(0)) == [(LAMP_ID, "pending", False)]
    book.beyond(LAMP, 129 * MINUTE, 6.0, 1.0, hold=30 * MINUTE)
    assert book.changes(0) == []
    book.beyond(LAMP, 130 * MINUTE, 7.0, 1.0, hold=30 * MINUTE)
    (change,) = book.changes(0)
    assert (change.state, change.notify, change.since, change.at) == (
        AlertState.FIRING,
        True,
        100 * MINUTE,
        130 * MINUTE,
    )
    assert (change.value, change.limit, change.severity) == (7.0, 1.0, Severity.WARNING)
    book.beyond(LAMP, 140 * MINUTE, 8.0, 1.0, hold=30 * MINUTE)
    assert book.changes(0) == []
    book.within(LAMP, 150 * MINUTE)
    assert states(book.changes(0)) == [(LAMP_ID, "resolved", True)]
    assert book.alerts == {}
    assert book.resolved[-1].at == 150 * MINUTE


def test_what_never_fired_is_resolved_without_a_word() -> None:
    """Pending and over."""
    book = a_book()
    book.beyond(LAMP, 0, 5.0, 1.0, hold=30 * MINUTE)
    book.within(LAMP, 10 * MINUTE)
    book.within(LAMP, 11 * MINUTE)
    assert states(book.changes(0)) == [(LAMP_ID, "resolved", False)]


def test_old_values_fire_nothing() -> None:
    """A backlog begins the alert; the first fresh value fires it, with the right beginning."""
    book = a_book()
    book.beyond(LAMP, 10 * MINUTE, 5.0, 1.0, fresh=False)
    book.beyond(LAMP, 90 * MINUTE, 5.0, 1.0, hold=30 * MINUTE, fresh=False)
    assert states(book.changes(0)) == [(LAMP_ID, "pending", False)]
    book.beyond(LAMP, 600 * MINUTE, 5.0, 1.0, hold=30 * MINUTE)
    (change,) = book.changes(0)
    assert (change.state, change.since) == (AlertState.FIRING, 10 * MINUTE)


def test_fired_and_over_between_two_looks_is_no_news() -> None:
    """Nobody is told of what is already over."""
    book = a_book()
    book.beyond(LAMP, 0, 5.0, 1.0)
    book.within(LAMP, 1)
    assert states(book.changes(0)) == [(LAMP_ID, "resolved", False)]
    book.beyond(LAMP, 2, 5.0, 1.0)
    book.within(LAMP, 3)
    book.beyond(LAMP, 4, 5.0, 1.0)
    assert states(book.changes(0)) == [(LAMP_ID, "resolved", False), (LAMP_ID, "firing", True)]


def test_acknowledged_alerts_stay_until_resolved() -> None:
    """With the name of who takes care; a second acknowledgement finds nothing."""
    book = a_book()
    book.beyond(LAMP, 0, 5.0, 1.0)
    book.changes(0)
    assert book.acknowledge(LAMP_ID, "Anh Ba", 5)
    assert not book.acknowledge(LAMP_ID, "Anh Tư", 6)
    assert not book.acknowledge("lamp_out/device/0/device-8", "Anh Tư", 6)
    (change,) = book.changes(6)
    assert (change.state, change.acknowledged_by, change.at) == (AlertState.ACKNOWLEDGED, "Anh Ba", 5)
    book.beyond(LAMP, 10, 5.0, 1.0)
    assert book.changes(10) == []
    assert book.current()[0].state is AlertState.ACKNOWLEDGED
    book.within(LAMP, 20)
    assert states(book.changes(20)) == [(LAMP_ID, "resolved", True)]


def test_doubtful_values_are_another_milder_alert() -> None:
    """Check the sensor, or danger."""
    book = a_book()
    book.beyond(LAMP._replace(doubtful=True), 0, 5.0, 1.0)
    (change,) = book.changes(0)
    assert (change.id, change.severity, change.doubtful) == ("lamp_out?/device/0/device-7", Severity.INFO, True)
    assert (Severity.CRITICAL.lower(), Severity.INFO.lower()) == (Severity.WARNING, Severity.INFO)


# causes ----------------------------------------------------------------------------------------------------------


def test_sixty_lamps_of_a_dead_circuit_are_one_notification() -> None:
    """Ten lamps here; the circuit is told, the lamps name it as their cause."""
    book = a_book()
    for number in range(10):
        book.beyond(Key(OUT, "device", number), MINUTE, 0.0, 5.0)
    book.beyond(Key(CIRCUIT, "group", 0), MINUTE, 10.0, 10.0)
    changes = book.changes(MINUTE)
    assert [change.id for change in changes if change.notify] == ["circuit_out/group/0/group-0"]
    assert {change.cause for change in changes[:10]} == {"circuit_out/group/0/group-0"}
    book.beyond(Key(OUT, "device", 10), MINUTE, 0.0, 5.0)  # on another circuit
    assert [change.notify for change in book.changes(MINUTE)] == [True]


def test_a_cause_of_a_cause_is_enough() -> None:
    """The commune is told, its circuits and lamps are not."""
    book = a_book()
    book.beyond(LAMP, 0, 0.0, 5.0)
    book.beyond(Key(CIRCUIT, "group", 0), 0, 1.0, 1.0)
    book.beyond(Key(COMMUNE, "commune", 0), 0, 1.0, 1.0)
    assert [change.id for change in book.changes(0) if change.notify] == ["commune_silent/commune/0/commune-0"]


def test_what_outlives_its_cause_is_told_by_itself() -> None:
    """After a while in which it may go the same way."""
    book = a_book()
    book.beyond(LAMP, 0, 0.0, 5.0)
    book.beyond(Key(CIRCUIT, "group", 0), 0, 1.0, 1.0)
    book.changes(0)
    assert book.changes(60 * MINUTE) == []
    book.within(Key(CIRCUIT, "group", 0), 60 * MINUTE)
    assert states(book.changes(60 * MINUTE)) == [("circuit_out/group/0/group-0", "resolved", True)]
    assert book.changes(61 * MINUTE) == []
    assert states(book.changes(75 * MINUTE)) == [(LAMP_ID, "firing", True)]
    book.within(LAMP, 80 * MINUTE)
    assert states(book.changes(80 * MINUTE)) == [(LAMP_ID, "resolved", True)]


def test_what_ends_with_its_cause_is_never_told() -> None:
    """The lamp comes back with its circuit."""
    book = a_book()
    book.beyond(LAMP, 0, 0.0, 5.0)
    book.beyond(Key(CIRCUIT, "group", 0), 0, 1.0, 1.0)
    book.changes(0)
    book.within(Key(CIRCUIT, "group", 0), MINUTE)
    book.within(LAMP, 2 * MINUTE)
    assert [change.notify for change in book.changes(2 * MINUTE) if change.id == LAMP_ID] == [False]


def test_a_pending_cause_explains_nothing() -> None:
    """It may never come true."""
    book = a_book()
    book.beyond(Key(CIRCUIT, "group", 0), 0, 1.0, 1.0, hold=10 * MINUTE)
    book.beyond(LAMP, 0, 0.0, 5.0)
    assert (LAMP_ID, "firing", True) in states(book.changes(0))


# silences --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("silence", "silenced"),
    [
        (Silence(0, 0, 100, "", ""), True),
        (Silence(0, 0, 100, "", "", commune="0"), True),
        (Silence(0, 0, 100, "", "", commune="1"), False),
        (Silence(0, 0, 100, "", "", group="group-0"), True),
        (Silence(0, 0, 100, "", "", group="group-1"), False),
        (Silence(0, 0, 100, "", "", device="device-7", rule="lamp_out"), True),
        (Silence(0, 0, 100, "", "", rule="circuit_out"), False),
        (Silence(0, 60, 100, "", ""), False),
    ],
)
def test_nobody_is_told_where_people_work(silence: Silence, silenced: bool) -> None:
    """By commune, group, device, rule and time."""
    book = a_book()
    book.silence(silence)
    book.beyond(LAMP, 50, 0.0, 5.0)
    assert [change.notify for change in book.changes(50)] == [not silenced]


def test_what_is_still_so_after_the_silence_is_told() -> None:
    """And what ended during it is not."""
    book = a_book()
    number = book.silence(Silence(0, 0, 100, "Anh Ba", "thay đèn")).id
    book.beyond(LAMP, 50, 0.0, 5.0)
    book.beyond(Key(OUT, "device", 8), 50, 0.0, 5.0)
    book.changes(50)
    book.within(Key(OUT, "device", 8), 60)
    assert [change.notify for change in book.changes(60)] == [False]
    assert states(book.changes(100)) == [(LAMP_ID, "firing", True)]
    assert book.silences == []
    assert not book.end_silence(number)


def test_a_silence_can_be_ended_and_must_make_sense() -> None:
    """Numbers rise."""
    book = a_book()
    first, second = (book.silence(Silence(0, 0, 100, "", "")) for _ in range(2))
    assert (first.id, second.id) == (1, 2)
    assert book.end_silence(1)
    assert [silence.id for silence in book.silences] == [2]
    with pytest.raises(ValueError, match="end after it begins"):
        book.silence(Silence(0, 100, 100, "", ""))


# restart ---------------------------------------------------------------------------------------------------------


def test_a_restart_tells_nothing_twice_and_forgets_nothing() -> None:
    """Told, untold with a cause, pending, acknowledged, silences: all as before."""
    book = a_book()
    book.beyond(LAMP, 0, 0.0, 5.0)
    book.beyond(Key(OUT, "device", 25), 0, 0.0, 5.0, hold=MINUTE)
    book.beyond(Key(CIRCUIT, "group", 3), 0, 1.0, 1.0)
    book.beyond(Key(OUT, "device", 31), 0, 0.0, 5.0)
    book.beyond(Key(OUT, "device", 99), 0, 0.0, 5.0)
    book.changes(0)
    book.acknowledge("lamp_out/device/0/device-99", "Anh Ba", 1)
    book.silence(Silence(0, 0, 10**15, "Anh Ba", "", commune="5"))
    book.changes(1)
    saved = book.dump()
    again = a_book()
    again.load(saved, lambda place: None if place.name == "device-25" else int(place.name.rpartition("-")[2]))
    assert again.dump() == {**saved, "alerts": [a for a in saved["alerts"] if a["place"][1] != "device-25"]}
    assert again.changes(2) == []
    again.within(Key(CIRCUIT, "group", 3), 3)
    assert [change.notify for change in again.changes(3)] == [True]
    assert states(again.changes(16 * MINUTE)) == [("lamp_out/device/0/device-31", "firing", True)]
