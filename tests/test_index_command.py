"""``village index``: what a file of hourly means or of samples becomes, and how a wrong file is named."""

import csv
import io
import math
import random
import tracemalloc
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from gateway.analytics.commands import register
from gateway.analytics.index_report import hourly_air
from gateway.analytics.vn_aqi import VnAqi, whole

AQI = VnAqi()
POLLUTANTS = ["pm2_5", "pm10", "o3", "no2", "so2", "co"]
START = datetime(2026, 1, 31, 13)  # noqa: DTZ001 - Vietnamese time, as a file without offsets gives it
Means = list[dict[str, float]]


def run(*arguments: str | Path) -> Result:
    """The command line with the one group under test."""
    app = typer.Typer()
    app.command("other")(lambda: None)  # with a single group, typer would leave its name out
    register(app)
    return CliRunner().invoke(app, ["index", *map(str, arguments)])


def rows(result: Result) -> list[dict[str, str]]:
    """The output as a spreadsheet would read it."""
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout)))


def table(tmp_path: Path, text: str, name: str = "means.csv") -> Path:
    """A file with this content."""
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


def error(result: Result) -> str:
    """The one line on standard error of a run that failed without output."""
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return result.stderr


def some_means(count: int, seed: int) -> Means:
    """Hourly means with gaps, single pollutants missing now and then."""
    source = random.Random(seed)
    scale = {"pm2_5": 90, "pm10": 200, "o3": 250, "no2": 300, "so2": 300, "co": 20000}
    return [
        {}
        if source.random() < 0.1
        else {p: round(source.uniform(0, scale[p]), 1) for p in scale if source.random() > 0.15}
        for _ in range(count)
    ]


def as_csv(means: Means, suffix: str = "", shift: int = 0) -> str:
    """The means as a file; an hour without any value has no row."""
    lines = ["time," + ",".join(POLLUTANTS)]
    for number, values in enumerate(means):
        if values:
            time = (START + timedelta(hours=number + shift)).isoformat(timespec="minutes")
            lines.append(f"{time}{suffix}," + ",".join(str(values.get(p, "")) for p in POLLUTANTS))
    return "\n".join(lines) + "\n"


# hourly ----------------------------------------------------------------------------------------------------------


def test_hourly_index_of_the_decisions_example(tmp_path: Path) -> None:
    """Twelve hours of PM2.5; the twelfth has 41, and until two hours are known there is none."""
    values = [26.9, 24.7, 20.5, 23.5, 19.5, 16.5, 19.0, 16.5, 20.3, 22.4, 19.6, 20.6]
    text = "time,pm2_5\n" + "".join(f"2019-05-20 {9 + n:02}:00,{value}\n" for n, value in enumerate(values))
    seen = rows(run("vn-aqi", table(tmp_path, text)))
    assert list(seen[0]) == ["time", "vn_aqi", "level", "pollutant", "vn_aqi_pm2_5"]
    assert list(seen[0].values()) == ["2019-05-20 09:00", "", "", "", ""]
    assert list(seen[1].values()) == ["2019-05-20 10:00", "52", "Trung bình", "pm2_5", "52"]
    assert list(seen[11].values()) == ["2019-05-20 20:00", "41", "Tốt", "pm2_5", "41"]


@pytest.mark.parametrize("seed", range(5))
def test_hourly_index_of_any_file(tmp_path: Path, seed: int) -> None:
    """Against a plain reading of the rule: look back twelve hours in a dictionary of all hours."""
    means = some_means(200, seed)
    seen = {row["time"]: row for row in rows(run("vn-aqi", table(tmp_path, as_csv(means))))}
    assert len(seen) == sum(bool(values) for values in means)
    for number, values in enumerate(means):
        if not values:
            continue
        back = [means[number - k] if number >= k else {} for k in range(12)]
        gases = {p: value for p, value in values.items() if p in {"o3", "no2", "so2", "co"}}
        subs = {p: AQI.sub_index("o3_1h" if p == "o3" else p, value) for p, value in gases.items()}
        for p in ("pm2_5", "pm10"):
            nowcast = AQI.nowcast([hour.get(p) for hour in back])
            if nowcast is not None:
                subs[p] = AQI.sub_index(p, nowcast)
        row = seen[(START + timedelta(hours=number)).isoformat(timespec="minutes")]
        for p in POLLUTANTS:
            assert row[f"vn_aqi_{p}"] == (str(whole(subs[p])) if p in subs else "")
        if "pm2_5" in subs or "pm10" in subs:
            assert row["vn_aqi"] == str(max(whole(value) for value in subs.values()))
            assert row["pollutant"] == max(subs, key=subs.__getitem__)
            assert row["level"] == AQI.level(int(row["vn_aqi"])).name.vi
        else:
            assert (row["vn_aqi"], row["level"], row["pollutant"]) == ("", "", "")


def test_a_gap_counts_as_missing_hours(tmp_path: Path) -> None:
    """After two missing rows one hour is not enough; after a year nothing of before is left."""
    text = "time,pm10\n2026-01-01T00:00,50\n2026-01-01T01:00,50\n2026-01-01T04:00,50\n2026-01-01T05:00,50\n"
    text += "2027-01-01T00:00,50\n2027-01-01T01:00,150\n"
    assert [row["vn_aqi"] for row in rows(run("vn-aqi", table(tmp_path, text)))] == ["", "50", "", "50", "", "83"]


def test_times_come_back_as_given_and_without_offset_are_vietnamese(tmp_path: Path) -> None:
    """UTC, +07:00 and none name the same hours here."""
    text = "Time;PM2.5\n2026-01-01T00:00;10\n2025-12-31T18:00Z;10\n2026-01-01 02:00:00+07:00;10\n"
    seen = rows(run("vn-aqi", table(tmp_path, text)))
    assert [row["time"] for row in seen] == ["2026-01-01T00:00", "2025-12-31T18:00Z", "2026-01-01 02:00:00+07:00"]
    assert [row["vn_aqi"] for row in seen] == ["", "20", "20"]


def test_the_label_makes_no_difference_by_the_hour(tmp_path: Path) -> None:
    """The hour's index is the same whichever end of the hour names it."""
    path = table(tmp_path, as_csv(some_means(30, 1)))
    assert run("vn-aqi", path, "--label", "end").stdout == run("vn-aqi", path).stdout


@pytest.mark.parametrize(("language", "level"), [("vi", "Nguy hại"), ("en", "Hazardous"), ("code", "hazardous")])
def test_levels_in_three_languages(tmp_path: Path, language: str, level: str) -> None:
    """As the law says it, in English, as a code word."""
    path = table(tmp_path, "time,pm10\n2026-01-01T00:00,900\n2026-01-01T01:00,900\n")
    assert rows(run("vn-aqi", path, "--language", language))[1]["level"] == level


# daily -----------------------------------------------------------------------------------------------------------


def reference_day(means: Means, first: int, share: float) -> tuple[int | None, dict[str, float]]:
    """The daily rule in plain words; ``first`` is the hour number of the day's 00:00."""

    def at(hour: int, p: str) -> float | None:
        return means[hour].get(p) if 0 <= hour < len(means) else None

    subs: dict[str, float] = {}
    for p in POLLUTANTS:
        day = [value for hour in range(first, first + 24) if (value := at(hour, p)) is not None]
        if len(day) < share * 24:
            continue
        if p in {"pm2_5", "pm10"}:
            subs[p] = AQI.sub_index(p, sum(day) / len(day))
        elif p == "o3":
            subs[p] = AQI.sub_index("o3_1h", max(day))
            eights = []
            for last in range(first, first + 24):
                some = [value for hour in range(last - 7, last + 1) if (value := at(hour, p)) is not None]
                if len(some) >= share * 8:
                    eights.append(sum(some) / len(some))
            if eights and max(eights) <= 400:
                subs[p] = max(subs[p], AQI.sub_index("o3_8h", max(eights)))
        else:
            subs[p] = AQI.sub_index(p, max(day))
    if "pm2_5" not in subs and "pm10" not in subs:
        return None, subs
    return max(whole(value) for value in subs.values()), subs


@pytest.mark.parametrize("share", [0.5, 0.75, 0.9])
@pytest.mark.parametrize(("suffix", "label", "shift"), [("", "start", 0), ("+07:00", "end", 1), ("Z", "start", -7)])
def test_daily_index_of_any_file(tmp_path: Path, share: float, suffix: str, label: str, shift: int) -> None:
    """The same hours, named by their start, by their end, or in UTC, give the same Vietnamese days."""
    means = some_means(24 * 12, 7)
    path = table(tmp_path, as_csv(means, suffix, shift))
    seen = rows(run("vn-aqi", path, "--daily", "--label", label, "--completeness", str(share)))
    assert seen[0]["date"] == "2026-01-31"
    assert len(seen) == 13
    for number, row in enumerate(seen):
        value, subs = reference_day(means, number * 24 - START.hour, share)
        assert row["date"] == (START + timedelta(days=number)).date().isoformat()
        assert row["vn_aqi"] == ("" if value is None else str(value))
        for p in POLLUTANTS:
            assert row[f"vn_aqi_{p}"] == (str(whole(subs[p])) if p in subs else "")


def test_daily_columns_show_both_ozone_means(tmp_path: Path) -> None:
    """Their greater one is ozone's sub-index; days without rows are not there."""
    text = "time,o3,pm10\n" + "".join(f"2026-01-0{d}T{h:02}:00,110,40\n" for d in (1, 4) for h in range(24))
    seen = rows(run("vn-aqi", table(tmp_path, text), "--daily"))
    assert [row["date"] for row in seen] == ["2026-01-01", "2026-01-04"]
    assert seen[0] == {
        "date": "2026-01-01", "vn_aqi": "75", "level": "Trung bình", "pollutant": "o3",
        "vn_aqi_pm10": "40", "vn_aqi_o3": "75", "vn_aqi_o3_1h": "34", "vn_aqi_o3_8h": "75",
    }  # fmt: skip


# files that are wrong --------------------------------------------------------------------------------------------

HEAD = "time,pm2_5,no2\n2026-01-01T00:00,1,1\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            HEAD + "2026-01-01T02:00,1,1\n2026-01-01T01:00,1,1\n",
            "line 4: time 2026-01-01T01:00 is before 2026-01-01T02:00",
        ),
        (HEAD + "2026-01-01T00:00+07:00,1,1\n", "line 3: time 2026-01-01T00:00+07:00 is there twice (line 2)"),
        (HEAD + "\n2025-12-31T17:00Z,1,1\n", "line 4: time 2025-12-31T17:00Z is there twice (line 2)"),
        (HEAD + "2026-01-01T01:30,1,1\n", "line 3: time 2026-01-01T01:30 is not a whole hour"),
        (HEAD + "2026-01-01T05:00+05:30,1,1\n", "line 3: time 2026-01-01T05:00+05:30 is not a whole number of hours"),
        (HEAD + "01/02/2026 01:00,1,1\n", "line 3: time '01/02/2026 01:00' cannot be read; write for example"),
        (HEAD + "2026-01-02,1,1\n", "line 3: time '2026-01-02' is no time of a measurement"),
        (HEAD + "0001-01-01T00:00,1,1\n", "line 3: time '0001-01-01T00:00' is no time"),
        (HEAD + ",1,1\n", "line 3: no time; write"),
        (HEAD + "2026-01-01T01:00,1\n", "line 3: 2 cells, the heading has 3"),
        (HEAD + "2026-01-01T01:00,1,1,1\n", "line 3: 4 cells, the heading has 3"),
        (HEAD + '2026-01-01T01:00,"1,5",1\n', "line 3: pm2_5: '1,5' is not a number; write 12.5"),
        (HEAD + "2026-01-01T01:00,1,nan\n", "line 3: no2: 'nan' is not a number"),
        (HEAD + "2026-01-01T01:00,1_0,1\n", "line 3: pm2_5: '1_0' is not a number"),
        (HEAD + "2026-01-01T01:00,-999,1\n", "line 3: pm2_5: -999 cannot be; leave the cell empty"),
        (HEAD + "2026-01-01T01:00,1e999,1\n", "line 3: pm2_5: 1e999 cannot be"),
        (HEAD + '2026-01-01T01:00,"1,1\n', "not CSV"),
        (HEAD + "x" * 70_000, "line 3: longer than 65536 characters"),
        (
            "\n" + HEAD,
            "line 1: nothing stands there; remove it, the first line names the columns: time and any of pm2_5",
        ),
        ("", "the file is empty; its first line names the columns"),
        ("pm2_5\n1\n", "line 1: no column 'time'; the columns are time and any of pm2_5, pm10, o3"),
        ("time\n2026-01-01T00:00\n", "line 1: no column to compute from"),
        ("time,pm2_5,pm3\n", "line 1: column 'pm3' is not known; remove it, or name it as one of"),
        ("time,pm2_5,PM2.5\n", "line 1: two columns mean pm2_5; keep one"),
    ],
)
@pytest.mark.parametrize("daily", [False, True])
def test_a_wrong_file_is_named_by_its_line(tmp_path: Path, text: str, expected: str, daily: bool) -> None:
    """One line on standard error, exit status 1, and nothing on standard output."""
    path = table(tmp_path, text)
    message = error(run("vn-aqi", path, *(["--daily"] if daily else [])))
    assert message.startswith(f"{path}: ")
    assert expected in message


def test_other_properties_of_the_vocabulary_are_passed_over(tmp_path: Path) -> None:
    """A station's whole record may be used as it is."""
    text = "\ufefftime,air_temperature,pm10,pm1\n2026-01-01T00:00,-3,50,x\n2026-01-01T01:00,,50,\n"
    seen = rows(run("vn-aqi", table(tmp_path, text)))
    assert list(seen[1].values()) == ["2026-01-01T01:00", "50", "Tốt", "pm10", "50"]


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    """Missing, a folder, not UTF-8; an output folder that is not there."""
    assert "absent.csv: cannot be read: No such file" in error(run("vn-aqi", tmp_path / "absent.csv"))
    assert "cannot be read" in error(run("vn-aqi", tmp_path))
    latin = tmp_path / "latin.csv"
    latin.write_bytes("time,pm10\n2026-01-01T00:00,1\nà\n".encode("latin-1"))
    assert "not UTF-8; save the file as UTF-8" in error(run("vn-aqi", latin))
    good = table(tmp_path, HEAD)
    assert "cannot be written" in error(run("vn-aqi", good, "--output", tmp_path / "no" / "out.csv"))


def test_output_goes_to_a_file_whole_or_not_at_all(tmp_path: Path) -> None:
    """An error leaves what was there before."""
    out = tmp_path / "out.csv"
    printed = run("vn-aqi", table(tmp_path, HEAD)).stdout
    assert run("vn-aqi", table(tmp_path, HEAD), "--output", out).stdout == ""
    assert out.read_text("utf-8") == printed
    assert run("vn-aqi", table(tmp_path, HEAD + "bad\n"), "--output", out).exit_code == 1
    assert out.read_text("utf-8") == printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["means.csv", "out.csv"]


def test_a_long_file_needs_no_more_memory_than_a_short_one() -> None:
    """Rows go through one by one."""

    class Generated(io.StringIO):
        """A file that nobody has in memory."""

        def __init__(self, count: int) -> None:
            super().__init__()
            times = ((START + timedelta(hours=n)).isoformat() for n in range(count))
            self.lines = chain(["time,pm2_5\n"], (f"{time},{n % 90}\n" for n, time in enumerate(times)))

        def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
            return next(self.lines, "")

    def peak(count: int) -> int:
        tracemalloc.start()
        assert sum(1 for _ in hourly_air(Generated(count))) == count + 1
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return high

    peak(10)
    assert peak(4000) < peak(400) + 20_000


# water samples ---------------------------------------------------------------------------------------------------


def test_a_sensor_station_gets_sub_indices_and_a_labelled_partial_value(tmp_path: Path) -> None:
    """Two groups are not enough; with coliform from the laboratory it is official while that is valid."""
    head = "time,pH,DO,temperature,N-NH4,n_no3,turbidity\n"
    samples = table(tmp_path, head + "2026-03-01T08:00,7,8.18,25,0.6,1,20\n2026-03-20T08:00,7,8.18,25,0.6,1,20\n")
    first, _ = rows(run("vn-wqi", samples, "--language", "en"))
    assert (first["time"], first["vn_wqi"], first["level"], first["published"]) == ("2026-03-01T08:00", "", "", "false")
    assert first["why_not"] == "2 groups of parameters (I, IV), 3 are needed"
    assert (first["q_ph"], first["q_oxygen_saturation"], first["q_ammonium_nitrogen"]) == ("100", "100", "50")
    assert (first["group_I"], first["group_IV"], first["group_V"]) == ("100", "83.33", "")
    assert first["partial_not_vn_wqi"] == "83"
    laboratory = table(tmp_path, "time,coliform\n2026-02-25,7500\n", "lab.csv")
    assert "laboratory file: line 2: time '2026-02-25'" in error(run("vn-wqi", samples, "--laboratory", laboratory))
    laboratory = table(tmp_path, "time,coliform\n2026-02-25T00:00,7500\n", "lab.csv")
    done = rows(run("vn-wqi", samples, "--laboratory", laboratory, "--valid-days", "20"))
    assert [row["published"] for row in done] == ["true", "false"]
    assert done[0]["vn_wqi"] == str(math.floor(math.sqrt(250 / 3 * 50) + 0.5))
    assert (done[0]["level"], done[0]["partial_not_vn_wqi"], done[0]["why_not"]) == ("Trung bình", "", "")


def test_a_full_sample_is_official(tmp_path: Path) -> None:
    """All five groups, each column by one of its names."""
    text = "time,ph,bod5,COD,p_po4,As,aldrin,E. coli\n2026-03-01 08:00+07:00,7,4,10,0.2,0.02,0.1,50\n"
    (row,) = rows(run("vn-wqi", table(tmp_path, text)))
    expected = 0.75 * math.sqrt((100 + 100 + 75) / 3 * 75)
    assert (row["vn_wqi"], row["published"]) == (str(math.floor(expected + 0.5)), "true")
    assert (row["q_arsenic"], row["q_aldrin"], row["q_e_coli"], row["group_III"]) == ("75", "100", "75", "75")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("time,ph\n2026-03-01T08:00,15\n", "line 2: ph of 15.0 cannot be"),
        ("time,ph\n2026-03-02T08:00,7\n2026-03-01T08:00,7\n", "line 3: time 2026-03-01T08:00 is before"),
        ("time,ph,mystery\n", "line 1: column 'mystery' is not known"),
        ("time,do,DO_mg_L\n", "two columns mean dissolved_oxygen"),
    ],
)
def test_a_wrong_file_of_samples_is_named_by_its_line(tmp_path: Path, text: str, expected: str) -> None:
    """As for the air."""
    assert expected in error(run("vn-wqi", table(tmp_path, text)))
