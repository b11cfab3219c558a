"""What several pages say of the past: runs, speed, conversion and money of a period beside the one before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from platform_core.dashboards.charts import Series, change, columns
from platform_core.dashboards.histogram import percentile_ms
from platform_core.dashboards.markup import Html
from platform_core.dashboards.readings import DayTally, Period, Tally
from platform_core.dashboards.voice import Voice
from platform_core.messaging.lifecycle import OutboxState
from platform_core.payments.lifecycle import ClaimState

PERIOD_DAYS = 30
SPEED_DAYS = 7

ARRIVED = frozenset({OutboxState.ACCEPTED.value, OutboxState.DELIVERED.value, OutboxState.READ.value})
_PAID = frozenset({ClaimState.APPROVED.value, ClaimState.RECONCILED.value})

Figure = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    part: int
    whole: int


def count_of(tallies: Iterable[Tally], *outcomes: str) -> int:
    """How many, of some outcomes or of all."""
    return sum(one.count for one in tallies if not outcomes or one.outcome in outcomes)


def share_of_runs(tallies: Sequence[Tally]) -> Share:
    """Runs that did what they are for, of those that were needed."""
    done = count_of(tallies, "done")
    return Share(done, done + count_of(tallies, "failed"))


def share_of_receipts(tallies: Sequence[Tally]) -> Share:
    """Receipts that became a payment, of all that opened a claim."""
    receipts = [one for one in tallies if one.label == "whatsapp"]
    return Share(count_of(receipts, *_PAID), count_of(receipts))


def share_of_reminders(tallies: Sequence[Tally]) -> Share:
    """Debts that were paid after their first reminder, of those reminded."""
    return Share(count_of(tallies, "paid"), count_of(tallies))


def merged(histograms: Mapping[str, Mapping[int, int]]) -> dict[int, int]:
    """One histogram of several."""
    whole: dict[int, int] = {}
    for histogram in histograms.values():
        for bucket, count in histogram.items():
            whole[bucket] = whole.get(bucket, 0) + count
    return whole


def run_figures(voice: Voice, now: Sequence[Tally], before: Sequence[Tally]) -> list[Figure]:
    """How many runs, and how many of them did what they are for."""
    runs = share_of_runs(now)
    return [
        (
            voice.say("figure.runs"),
            voice.number(runs.part),
            change(voice, runs.part, share_of_runs(before).part),
        ),
        (
            voice.say("figure.success"),
            voice.percent(runs.part, runs.whole),
            voice.count("figure.failed", runs.whole - runs.part) if runs.whole else "",
        ),
    ]


def speed_figure(voice: Voice, histograms: Mapping[str, Mapping[int, int]]) -> Figure:
    """What half of the people wait at most, and what 95 of 100 do."""
    whole = merged(histograms)
    p50, p95 = percentile_ms(whole, 50), percentile_ms(whole, 95)
    beside = (
        voice.say("figure.p95", p95=voice.duration(p95)) if p95 is not None else voice.say("figure.no_speed")
    )
    return voice.say("figure.p50"), voice.duration(p50), beside


def share_figure(voice: Voice, key: str, share: Share) -> Figure:
    """A conversion, and of how many."""
    beside = voice.say(f"figure.{key}_of", part=share.part, whole=share.whole) if share.whole else ""
    return voice.say(f"figure.{key}"), voice.percent(share.part, share.whole), beside


def run_chart(voice: Voice, days: Sequence[DayTally], period: Period) -> Html:
    """Runs day by day: done, and failed on top."""
    return day_chart(voice, "runs", days, period, (("done", 1), ("failed", 3)))


def day_chart(
    voice: Voice, key: str, days: Sequence[DayTally], period: Period, parts: Sequence[tuple[str, int]]
) -> Html:
    """Outcomes of a noun day by day, those named, each with its tone."""
    series = [
        Series(voice.say(f"chart.{key}_{outcome or 'all'}"), tone, _values(days, period, outcome))
        for outcome, tone in parts
    ]
    labels = [voice.day(day) for day in period.days]
    edges = (voice.short_day(period.first), voice.short_day(period.last))
    return columns(voice, key, voice.say(f"chart.{key}"), labels, series, edges=edges)


def _values(days: Sequence[DayTally], period: Period, outcome: str) -> list[int]:
    found: dict[object, int] = {}
    for one in days:
        if one.outcome == outcome:
            found[one.day] = found.get(one.day, 0) + one.count
    return [found.get(day, 0) for day in period.days]


def grouped_messages(days: Sequence[DayTally]) -> list[DayTally]:
    """Messages by what people ask: did it arrive, is it on its way, did it not, was it not wanted."""
    groups = dict.fromkeys(ARRIVED, "arrived") | {"failed": "failed", "ambiguous": "failed"}
    groups |= {"queued": "waiting", "sending": "waiting", "suppressed": "unwanted", "cancelled": "unwanted"}
    return [
        DayTally(one.day, groups.get(one.outcome, "waiting"), one.count, one.amount_minor) for one in days
    ]
