"""Lines that are judged again: the next value has shown a stored one to be a spike, and its flags are overwritten."""

from collections.abc import Iterator

from devices.quality import Quality
from devices.vocabulary import VOCABULARY
from gateway.line.state import State


def lines_again(state: State, device: int, tags: str) -> Iterator[tuple[int, str]]:
    """Flags to write over the stored lines that ``state.spikes`` names, which is empty afterwards.

    Args:
        state: after the device's newest values were judged.
        device: whose spikes they are.
        tags: as the stored lines have them.

    Yields:
        Time of the stored line [ns UTC], and a line of the same time with flags only; see
        ``line_protocol.FLAGS_ONLY``.
    """
    spikes, state.spikes = state.spikes, []
    first, properties = state.registry.first_series[device], state.registry.profile(device).properties
    for at, measurement in sorted({(spike.at, spike.measurement) for spike in spikes}):
        here = [spike for spike in spikes if spike.at == at and spike.measurement == measurement]
        flags, worst = {spike.property: int(Quality.SUSPECT) for spike in here}, here[0].line
        if worst == Quality.GOOD:
            # A line that was all good has no flags of single properties; now it needs them all. What the device has not
            # said since was not on it.
            for position, entry in enumerate(properties):
                if VOCABULARY[entry.name].measurement is measurement and state.time[first + position] >= at:
                    flags.setdefault(entry.name, int(Quality.GOOD))
        each = ",".join(f"{name}_quality={flag}" for name, flag in flags.items())
        yield at, f"{measurement},{tags} quality={max(worst, Quality.SUSPECT):d},{each} {at}\n"
