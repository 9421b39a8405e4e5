"""Thresholds of leak detection in piped networks, as data of ``standards/water_supply.toml``."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from devices.standard_data import Data, Source

Ratio = Annotated[float, Field(ge=1)]


class Night(Data):
    """How the flow of the small hours is judged; each figure is explained in the file."""

    from_hour: Annotated[int, Field(ge=0, le=23)]
    to_hour: Annotated[int, Field(ge=1, le=24)]
    nights: Annotated[int, Field(ge=1, le=366)]
    learning_nights: Annotated[int, Field(ge=1, le=366)]
    usual_quantile: Annotated[float, Field(ge=0, le=1)]
    leak_ratio: Ratio
    burst_ratio: Ratio
    leak_nights: Annotated[int, Field(ge=1, le=30)]
    ended_ratio: Ratio
    least_m3_per_hour: Annotated[float, Field(ge=0)]
    high_share_of_day: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.from_hour < self.to_hour:
            raise ValueError("to_hour must be after from_hour")
        if not self.ended_ratio < self.leak_ratio <= self.burst_ratio:
            raise ValueError("ended_ratio, leak_ratio and burst_ratio must rise")
        if self.learning_nights > self.nights:
            raise ValueError("learning_nights must not be more than nights")
        return self


class WaterSupply(Data):
    """Leak detection."""

    source: Source
    night: Night
