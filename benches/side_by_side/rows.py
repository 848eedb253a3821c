"""Rows of the report: comparisons round by round, delays, and single figures with a limit."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

# A row is marked when other programs kept more than this much of one processor busy.
NOISE = 0.25
HEADER = (
    "| what | mmr | peer | ratio (min-max) | wanted "
    "| server CPU, us per request: mmr / peer | peak memory, MB: mmr / peer | CPU of others |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|"
)


@dataclass(frozen=True)
class Sample:
    """One measurement of one server."""

    rate: float
    # Processor time of the server per request, in microseconds.
    cpu_us: float
    # Processors that other programs kept busy meanwhile.
    others: float
    # Of the answers, where wrk counted them.
    p50_ms: float | None = None
    p99_ms: float | None = None


@dataclass
class Comparison:
    """mmr and a peer, measured in turn."""

    what: str
    unit: str
    wanted: float
    ours: list[Sample] = field(default_factory=list)
    theirs: list[Sample] = field(default_factory=list)
    peaks_mb: tuple[float, float] = (0.0, 0.0)

    def markdown(self) -> str:
        """The row. Each ratio is of one round, so that a machine that drifts does not matter."""
        ratios = sorted(a.rate / b.rate for a, b in zip(self.ours, self.theirs, strict=True))
        ratio = statistics.median(ratios)
        missed = " missed" if ratio < self.wanted else ""
        cpu = [statistics.median(s.cpu_us for s in side) for side in (self.ours, self.theirs)]
        return _row(
            self.what,
            self._rate(self.ours),
            self._rate(self.theirs),
            f"**{_short(ratio)}** ({_short(ratios[0])}-{_short(ratios[-1])})",
            f"{self.wanted:g}{missed}",
            " / ".join(f"{each:.0f}" for each in cpu),
            " / ".join(f"{peak:.0f}" for peak in self.peaks_mb),
            _noise([sample.others for sample in (*self.ours, *self.theirs)]),
        )

    def _rate(self, samples: list[Sample]) -> str:
        return f"{_short(statistics.median(sample.rate for sample in samples))} {self.unit}"


@dataclass
class Figure:
    """One quantity of mmr alone, which must not exceed a limit."""

    what: str
    unit: str
    limit: float
    values: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)

    def markdown(self) -> str:
        """The row: the median, and the spread in place of a ratio."""
        value = statistics.median(self.values)
        missed = " missed" if value > self.limit else ""
        return _row(
            self.what,
            f"{_short(value)} {self.unit}",
            "",
            f"({_short(min(self.values))}-{_short(max(self.values))} {self.unit})",
            f"{self.limit:g} {self.unit}{missed}",
            "",
            "",
            _noise(self.others),
        )


@dataclass
class Delay:
    """How long mmr takes beside what it cannot be faster than, in milliseconds."""

    what: str
    # Of the medians; a ratio above it is fine as long as the difference is at most `slack_ms`.
    limit: float
    slack_ms: float = 0.0
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)

    def markdown(self) -> str:
        """The row: medians, and the spread of mmr's times over the other median."""
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        missed = ours / theirs > self.limit and ours - theirs > self.slack_ms
        slack = f" or {self.slack_ms:g} ms more" if self.slack_ms else ""
        spread = f"{_short(min(self.ours) / theirs)}-{_short(max(self.ours) / theirs)}"
        return _row(
            self.what,
            f"{_short(ours)} ms",
            f"{_short(theirs)} ms",
            f"**{_short(ours / theirs)}** ({spread})",
            f"at most {self.limit:g}{slack}{' missed' if missed else ''}",
            "",
            "",
            _noise(self.others),
        )


Row = Comparison | Delay | Figure


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _noise(others: list[float]) -> str:
    """Median and maximum in percent of one processor."""
    median, most = (100 * each for each in (statistics.median(others), max(others)))
    noisy = " noisy" if most > 100 * NOISE else ""
    return f"{median:.0f} % (at most {most:.0f} %){noisy}"
