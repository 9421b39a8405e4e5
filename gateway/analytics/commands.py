"""The commands ``village index vn-aqi`` and ``village index vn-wqi``: indices of a CSV file, as CSV."""

import csv
import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from shutil import copyfileobj
from typing import Annotated, BinaryIO, TextIO

import typer

from gateway.analytics.index_csv import CsvError
from gateway.analytics.index_report import Label, Language, daily_air, hourly_air, water_samples

SPOOL_BYTES = 4_000_000
"""Output is held back until the whole file was read without error; beyond this it waits on disk."""

index = typer.Typer(
    name="index",
    help="Indices of the law from a CSV file, as CSV. / Tính chỉ số theo quy định từ tệp CSV.",
    no_args_is_help=True,
)

File = Annotated[Path, typer.Argument(metavar="FILE.csv", show_default=False)]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here instead of standard output.")
]
LanguageOption = Annotated[
    Language, typer.Option("--language", help="Names of levels: as the law says them, in English, or as code words.")
]


def register(app: typer.Typer) -> None:
    """Add the group ``index`` to the command line."""
    app.add_typer(index)


@index.command("vn-aqi")
def vn_aqi(
    file: File,
    daily: Annotated[
        bool, typer.Option("--daily", help="One row a calendar day in Viet Nam, not one an hour.")
    ] = False,
    label: Annotated[
        Label, typer.Option("--label", help="Which end of its hour 'time' names; matters for --daily only.")
    ] = "start",
    completeness: Annotated[
        float,
        typer.Option(
            "--completeness",
            min=0.0,
            max=1.0,
            help="With --daily: share of its hours a day and an 8-hour mean need. Ours: the decision states none.",
        ),
    ] = 0.75,
    language: LanguageOption = "vi",
    output: Output = None,
) -> None:
    """VN_AQI (Decision 1459/QĐ-TCMT) of hourly means in ug/m3.

    Columns: time and any of pm2_5, pm10, o3, no2, so2, co. An empty cell or a row that is not there is a missing hour.
    A time without offset is Vietnamese time. There is no index where neither PM2.5 nor PM10 can be judged.
    """
    with _opened(file) as text:
        _write(daily_air(text, label, completeness, language) if daily else hourly_air(text, language), file, output)


@index.command("vn-wqi")
def vn_wqi(
    file: File,
    laboratory: Annotated[
        Path | None,
        typer.Option("--laboratory", metavar="FILE.csv", help="Laboratory values that complete the samples."),
    ] = None,
    valid_days: Annotated[
        int,
        typer.Option("--valid-days", min=1, max=366, help="How long a laboratory value counts. Ours, not the law's."),
    ] = 30,
    language: LanguageOption = "vi",
    output: Output = None,
) -> None:
    """VN_WQI (Decision 1460/QĐ-TCMT) of water samples.

    Columns: time and parameters such as ph, do (mg/L, needs temperature), n_nh4, n_no3, bod5, cod, coliform. Where the
    index is not official, the row says why and gives sub-indices and a partial value that is not VN_WQI.
    """
    with ExitStack() as stack:
        text = stack.enter_context(_opened(file))
        results = stack.enter_context(_opened(laboratory)) if laboratory is not None else None
        _write(water_samples(text, results, valid_days, language), file, output)


def _opened(path: Path) -> TextIO:
    try:
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise _failed(f"{path}: cannot be read: {error.strerror}") from error


def _write(rows: Iterator[list[str]], source: Path, output: Path | None) -> None:
    """Write every row, or nothing and one line that says what is wrong."""
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
        text = io.TextIOWrapper(spool, encoding="utf-8", newline="", write_through=True)
        try:
            csv.writer(text, lineterminator="\n").writerows(rows)
        except CsvError as error:
            raise _failed(f"{source}: {error}") from error
        finally:
            text.detach()
        spool.seek(0)
        if output is None:
            sys.stdout.flush()
            copyfileobj(spool, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            _save(spool, output)


def _save(content: "tempfile.SpooledTemporaryFile[bytes]", output: Path) -> None:
    partial = output.with_name(output.name + ".partial")
    try:
        with partial.open("wb") as target:
            _copy(content, target)
        partial.replace(output)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise _failed(f"{output}: cannot be written: {error.strerror}") from error


def _copy(content: "tempfile.SpooledTemporaryFile[bytes]", target: BinaryIO) -> None:
    copyfileobj(content, target)


def _failed(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(1)
