"""A generated series: the load of a power grid, whose answer to the weather is not linear."""

from __future__ import annotations

import numpy as np

DAY, WEEK = 24, 168


def power_load(weeks: int = 16, seed: int = 0) -> np.ndarray:
    """Hourly loads (168 weeks,) of a power grid, all positive.

    A daily and a weekly cycle, times what a slow, random temperature adds: both cold (heating) and heat
    (cooling) raise the load, by day more than by night. The temperature itself is not in the series.

    Args:
        weeks: how long.
        seed: of the temperature and the noise.
    """
    draw = np.random.default_rng(seed)
    hours = np.arange(weeks * WEEK)
    day = 2 * np.pi * hours / DAY
    cycle = 0.18 * np.sin(day - 2.1) + 0.08 * np.sin(2 * day - 1.2)
    weekend = np.where(hours % WEEK >= 5 * DAY, -0.15, 0.0)
    temperature = np.zeros(len(hours))
    for hour in range(1, len(hours)):
        temperature[hour] = 0.985 * temperature[hour - 1] + 0.17 * draw.standard_normal()
    weather = 0.1 * np.abs(temperature) * (1 + 0.5 * np.sin(day - 2.1))
    noise = 0.01 * draw.standard_normal(len(hours))
    return 1000 * np.exp(cycle + weekend + weather + noise)
