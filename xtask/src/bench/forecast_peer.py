"""The peer of the forecast bench: Holt-Winters smoothing of statsmodels, with a daily season and, in a second run, also
a damped trend; the better of the two counts. Reads {"horizon": hours, "jobs": [[history, ...], ...]} and writes the
forecasts of each job by each of the two."""

import json
import sys
import warnings

from statsmodels.tsa.holtwinters import ExponentialSmoothing

SEASON = 24
VARIANTS = [{"trend": None}, {"trend": "add", "damped_trend": True}]


def forecast(history, horizon, variant):
    model = ExponentialSmoothing(
        history, seasonal="add", seasonal_periods=SEASON, initialization_method="estimated", **variant
    )
    return [max(0.0, float(value)) for value in model.fit().forecast(horizon)]


warnings.filterwarnings("ignore")
work = json.load(sys.stdin)
said = [[forecast(history, work["horizon"], variant) for variant in VARIANTS] for history in work["jobs"]]
json.dump(said, sys.stdout)
