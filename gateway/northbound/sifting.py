"""One batch on its way to a store: whole if it goes, in pieces if too large, sifted to the bad line if refused."""

from collections.abc import Callable, Sequence

import structlog

from gateway.model import BodyTooLargeError, LinesRefusedError, RejectedLine, Row, StoreMisconfiguredError, StoreWriter

MAX_LINES = 5000
MAX_BYTES = 1 << 20
"""One body at most. Source: InfluxData's advice for batches, and a size a slow link carries within the time limit."""
_LEAST_BYTES = 16 << 10
"""Bodies are not made smaller than this by failures; about 100 lines."""
_SLICE = 2.0
"""Seconds one batch may be sifted for bad lines before fresh rows get their turn again. Chosen."""

_log = structlog.get_logger(__name__)


class StoppedError(Exception):
    """The thread shall end; what is not reported as accepted is sent again after the next start."""


class Sifter:
    """Sends batches to one store and reports each row as soon as the store has it.

    Args:
        store: where to.
        accept: called with rows whose every line is stored, but for the rejected ones.
        is_stopping: asked before every request.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        store: StoreWriter,
        accept: Callable[[Sequence[Row], Sequence[RejectedLine]], None],
        is_stopping: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._store, self._accept, self._is_stopping, self._clock = store, accept, is_stopping, clock
        self.max_bytes = MAX_BYTES
        """What a body may have at the moment: halved by failures, grows by a tenth with each success."""

    def halve(self) -> None:
        """Send smaller bodies for a while: a link too slow for one looks like an outage."""
        self.max_bytes = min(self.max_bytes, max(self.max_bytes // 2, _LEAST_BYTES))

    def deliver(self, rows: Sequence[Row]) -> bool:
        """Rows are in the store but for rejected lines, and reported as soon as they are.

        Returns:
            False if sifting took too long: the rows not reported yet are to be tried again, as backlog.

        Raises:
            StoreUnavailableError, StoreMisconfiguredError: likewise, because the store takes nothing now.
            StoppedError: likewise, because the thread shall end.
        """
        pending, until, done = [list(rows)], self._clock() + _SLICE, 0
        while pending:
            part = pending.pop()
            try:
                self._send(b"".join([row.lines for row in part]), sum(row.line_count for row in part))
            except LinesRefusedError as error:
                if error.dropped == sum(row.line_count for row in part):
                    self._accept(part, self._all_of(part, str(error)))
                    done += len(part)
                elif len(part) == 1:
                    self._accept(part, self._sift(part[0], str(error)))
                    done += 1
                else:
                    middle = len(part) // 2
                    pending += [part[middle:], part[:middle]]
            else:
                self._accept(part, [])
                done += len(part)
            # Not before a row is done: a slow store would otherwise be asked the same for ever.
            if pending and done and self._clock() > until:
                return False
        return True

    def _sift(self, row: Row, words: str) -> list[RejectedLine]:
        """Store every good line of a refused row; a bad one was refused alone, or among bad ones only."""
        rejected: list[RejectedLine] = []
        pending = [([line + b"\n" for line in _lines_of(row)], words)]
        while pending:
            lines, words = pending.pop()
            if len(lines) == 1:
                rejected.append(RejectedLine(row.id, lines[0].rstrip(b"\n"), words))
                continue
            middle = len(lines) // 2
            for half in (lines[middle:], lines[:middle]):
                try:
                    self._send(b"".join(half), len(half))
                except LinesRefusedError as error:
                    if error.dropped == len(half):
                        rejected += [RejectedLine(row.id, line.rstrip(b"\n"), str(error)) for line in half]
                    else:
                        pending.append((half, str(error)))
        self._warn([row], rejected, words)
        return rejected

    def _all_of(self, rows: Sequence[Row], words: str) -> list[RejectedLine]:
        """The store says that it has stored none of their lines: asked for each alone, it would say so as often."""
        rejected = [RejectedLine(row.id, line, words) for row in rows for line in _lines_of(row)]
        self._warn(rows, rejected, words)
        return rejected

    def _warn(self, rows: Sequence[Row], rejected: Sequence[RejectedLine], words: str) -> None:
        store, first = self._store.name, rows[0].id
        _log.warning("lines refused by the store", store=store, row=first, lines=len(rejected), answer=words)

    def _send(self, body: bytes, line_count: int) -> None:
        """The whole body is in the store, in as many pieces as it takes."""
        position = 0
        while position < len(body):
            if self._is_stopping():
                raise StoppedError
            most = min(self.max_bytes, max(1, len(body) * MAX_LINES // max(line_count, 1)))
            piece = _piece(body, position, most)
            try:
                self._store.write(piece)
            except BodyTooLargeError as error:
                if piece.count(b"\n") <= 1:
                    raise StoreMisconfiguredError(
                        f"{error}; not even one line of {len(piece)} bytes is taken: raise the store's (or its "
                        "proxy's) limit for the size of a request"
                    ) from error
                self.max_bytes = max(len(piece) // 2, 1)
                continue
            position += len(piece)
            self.max_bytes = min(MAX_BYTES, self.max_bytes + self.max_bytes // 10 + 1)


def _lines_of(row: Row) -> list[bytes]:
    return [line for line in row.lines.split(b"\n") if line]


def _piece(body: bytes, position: int, most: int) -> bytes:
    r"""Whole lines from this position on, at most so many bytes, at least one line.

    >>> _piece(b"aa\nbb\ncc\n", 3, 5), _piece(b"aa\nbb\ncc\n", 0, 1)
    (b'bb\n', b'aa\n')
    """
    if len(body) - position <= most:
        return body[position:]
    end = body.rfind(b"\n", position, position + most)
    if end < 0:
        end = body.find(b"\n", position)
    return body[position:] if end < 0 else body[position : end + 1]
