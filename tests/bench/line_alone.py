"""``village run`` with nobody making sense of the readings: the line alone, as ``e2e_ratio`` measures it."""

from collections.abc import Sequence

from gateway import app, cli
from gateway.analytics.worker import AnalyticsWorker
from gateway.model import Judged


class NoAnalytics(AnalyticsWorker):
    """Takes nothing and never runs. There is no setting for this: alerts and roll-ups are always on."""

    def take(self, judged: Sequence[Judged]) -> None:
        """Nobody looks."""

    def start(self) -> None:
        """Nothing begins."""


if __name__ == "__main__":
    vars(app)["AnalyticsWorker"] = NoAnalytics
    cli.main()
