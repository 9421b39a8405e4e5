"""One payload through registry, codec, normalize and quality, without a broker, a journal or a store."""

from datetime import UTC, datetime

from devices.observation import RefusedError
from devices.registry import Registry
from devices.vocabulary import VOCABULARY
from gateway.line.line_protocol import read_back
from gateway.line.pipeline import Limits, Pipeline
from gateway.line.state import State
from gateway.model import Uplink


def decode_once(
    registry: Registry, topic: str, payload: bytes, received_at: int, limits: Limits
) -> list[dict[str, object]]:
    """What the line would store of one payload.

    Args:
        registry: the fleet.
        topic: MQTT topic it would come on.
        payload: its bytes.
        received_at: when it would be received [ns UTC].
        limits: as in the settings.

    Returns:
        One dictionary a reading: device, property, value, unit, observed_at (RFC 3339), quality, clock.

    Raises:
        RefusedError: as the line would refuse it.
    """
    numbers: dict[str, int] = {}
    pipeline = Pipeline(
        registry, State(registry), lambda names: [numbers.setdefault(n, len(numbers) + 1) for n in names], limits
    )
    batch, _ = pipeline.process([Uplink(topic, payload, received_at)])
    for refused in batch.refused:
        raise RefusedError(refused.reason, refused.detail)
    return [
        {
            "device": line.device,
            "property": name,
            "value": value,
            "unit": VOCABULARY[name].unit,
            "observed_at": _rfc3339(line.at),
            "quality": int(line.fields.get(f"{name}_quality", line.fields["quality"])),
            "clock": int(line.fields["clock"]),
        }
        for line in read_back(batch.lines)
        for name, value in line.fields.items()
        if name in VOCABULARY
    ]


def _rfc3339(at: int) -> str:
    seconds, rest = divmod(at, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{text}{fraction}Z"
