"""Exponential histograms as explicit ones, with bounds that stay: a scale that changes must not make a new series."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any

#: s: 61 µs to 64 s in steps of √2; anything else: 2^-10 to 2^40 in steps of 2.
_SECONDS = tuple(2.0 ** (step / 2) for step in range(-28, 13))
_OTHERS = tuple(2.0**step for step in range(-10, 41))
_MOST_BUCKETS = 10_000
_MOST_SCALE = 100  # of either sign; OpenTelemetry's are from -10 to 20
_MOST_COUNT = 2**64 - 1  # of a bucket


def explicit(point: Any, unit: str) -> tuple[tuple[float, ...], list[int]]:
    """Return bounds and buckets of an ExponentialHistogramDataPoint.

    Each of its buckets goes where its upper bound belongs: exact from scale 1 on (with `s`) or 0; of coarser scales
    the values seem greater than they are. What is not positive is in the first bucket.

    :raises ValueError: when it has more buckets, or more in them, than anybody needs, or a scale that is none.
    """
    bounds = _SECONDS if unit == "s" else _OTHERS
    if len(point.positive.bucket_counts) > _MOST_BUCKETS:
        raise ValueError(f"more than {_MOST_BUCKETS} buckets")
    if abs(point.scale) > _MOST_SCALE:
        raise ValueError(f"a scale of {point.scale}")
    buckets = [0] * (len(bounds) + 1)
    buckets[0] = point.zero_count + sum(point.negative.bucket_counts)
    step = 2.0**-point.scale  # of the exponent of 2 from bucket to bucket
    logarithms = [math.log2(bound) for bound in bounds]
    for index, count in enumerate(point.positive.bucket_counts, point.positive.offset + 1):
        if count:
            buckets[bisect_left(logarithms, index * step - 1e-9)] += count
    if max(buckets) > _MOST_COUNT:
        raise ValueError(f"more than {_MOST_COUNT} values in a bucket")
    return bounds, buckets
