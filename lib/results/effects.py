"""What each choice of the paper is worth: paired differences of scores, with and without it (Secs. 3, 3.1, 3.2, 4.3).

Both sides of a difference score the same clips and the same bootstrap resamples of them, so that what the clips have in
common cancels. Paper rule; every detector (protocol `all`), so that no test label was looked at. A difference is of
whole systems, as the paper trains them: "joint training" changes the schedule, too (4.2), and "invariant latent"
averages one model for each attribute parameter.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib import clock
from lib.detection.ensembles import detector_scores, of_the_paper, parameter_means
from lib.detection.metrics import OverallMeans, intervals, machine_scores
from lib.detection.scoring import AGGREGATORS
from lib.recordings.dcase import paper_order
from lib.settings import Evaluation
from lib.systems import SYSTEMS

SCORES = ("auc_source", "auc_target", "hmean")


@dataclass(frozen=True)
class Side:
    """Which scores make one side of a difference.

    Attributes:
        system: of `systems.SYSTEMS`. detectors: "every", "fitted" (GMM and KNN), "flow", or a fit set's name.
        aggregator: "own" of the machine, or "plain" or "weighted", on the machines with a weighted mean alone.
    """

    system: str
    detectors: str
    aggregator: str = "own"


@dataclass(frozen=True)
class Effect:
    """A choice, the systems it is seen in, and the two sides: with it less without it."""

    name: str
    system: str
    with_it: Side
    without: Side


def _between(name, system, other, detectors):
    return Effect(name, f"{system} − {other}", Side(system, detectors), Side(other, detectors))


EFFECTS = (
    _between("joint training", "OE-Flow", "OE", "fitted"),
    _between("invariant latent", "OE-DFlow", "OE-Flow", "fitted"),
    _between("invariant latent", "SerialOE-DFlow", "SerialOE-Flow", "flow"),
    _between("attribute task", "Serial-OE", "OE", "fitted"),
    *(Effect("weighted − plain mean", s, Side(s, "every", "weighted"), Side(s, "every", "plain")) for s in SYSTEMS),
    *(
        Effect(f"{words} − source fit", s.name, Side(s.name, fit_set), Side(s.name, "source"))
        for fit_set, words in (("pseudo_target", "pseudo-target"), ("source+target", "source + target"))
        for s in SYSTEMS.values()
        if s.families
    ),
)
SIDES = tuple(dict.fromkeys(side for effect in EFFECTS for side in (effect.with_it, effect.without)))
MACHINES = 50  # whose sides are in memory at once


@clock.counts("scoring")
def evaluate(scores: pd.DataFrame, evaluation: Evaluation, seed: int = 0) -> pd.DataFrame:
    """Every effect that the scores hold both sides of.

    Args:
        scores: as `collected.collect`. evaluation: `settings.Evaluation`. seed: of the bootstrap.

    Returns:
        DataFrame with `effect`, `system`, `machine` ("overall" for harmonic means over the machines that have both
        sides), `score` (of `SCORES`), `difference`, `low`, `high` (95 % interval, mean over seeds), `sd`, `seeds`, in
        percent points.
    """
    found = []
    for run_seed in sorted(scores["seed"].unique().tolist()):
        means = {effect: (OverallMeans(), OverallMeans()) for effect in EFFECTS}
        for machine, sides in _score_sides(scores[scores["seed"] == run_seed], evaluation, seed):
            for effect in EFFECTS:
                if effect.with_it in sides and effect.without in sides:
                    pair = sides[effect.with_it], sides[effect.without]
                    found += [(effect.name, effect.system, machine, name, run_seed, *d) for name, *d in _apart(*pair)]
                    for mean, side in zip(means[effect], pair, strict=True):
                        mean.add(side)
        for effect, pair in means.items():
            apart = _apart(*(mean.found() for mean in pair))
            found += [(effect.name, effect.system, "overall", name, run_seed, *d) for name, *d in apart]
    places = {(effect.name, effect.system): i for i, effect in enumerate(EFFECTS)}
    found.sort(key=lambda row: places[row[:2]])
    keys = ["effect", "system", "machine", "score"]
    table = pd.DataFrame(found, columns=[*keys, "seed", "difference", "low", "high"]).dropna(subset="difference")
    table[["difference", "low", "high"]] *= 100
    grouped = table.groupby(keys, sort=False)
    means = grouped[["difference", "low", "high"]].mean()
    return means.assign(sd=grouped["difference"].std(), seeds=grouped["seed"].nunique()).reset_index()


def _apart(one, other):
    """[(score, difference, low, high)] of two sides."""
    apart = np.array(np.broadcast_arrays(*(one[name] - other[name] for name in SCORES)))
    return [(name, each[0], *edges) for name, each, edges in zip(SCORES, apart, intervals(apart), strict=True)]


def _score_sides(scores, evaluation, seed):
    """Each machine with {side: its paper-rule `machine_scores`} of one seed, on the labelled clips that all sides there
    have; the resamples of one machine at a time are in memory."""
    labelled = of_the_paper(scores[(scores["part"] == "test") & (scores["label"] != "")])
    order = paper_order(labelled["machine"].unique())
    for i in range(0, len(order), MACHINES):
        table = _sides(labelled[labelled["machine"].isin(order[i : i + MACHINES])], evaluation.weighted_machines)
        places = table.groupby("machine", sort=False).indices
        for machine in filter(places.__contains__, order[i : i + MACHINES]):
            here, sides = table.iloc[places[machine]], {}
            wide = here.pivot(index=["clip", "domain", "label"], columns="side", values="score").dropna()
            domain, label = (wide.index.get_level_values(name).to_numpy() for name in ("domain", "label"))
            for side, values in wide.items():
                drawn = evaluation.max_fpr, evaluation.bootstrap, seed + order.index(machine)
                sides[SIDES[side]] = machine_scores(values, domain, label, *drawn)["paper"]
            yield machine, sides


def _sides(labelled, weighted_machines):
    """The clip scores of every side, with `side`, its place in `SIDES`: means over its detectors, of clips that all
    scored (of a machine's own aggregator `system_rows` says of which some did not)."""
    weighted = labelled[labelled["machine"].isin(weighted_machines)]
    tables = {name: parameter_means(weighted[weighted["aggregator"] == name]) for name in AGGREGATORS}
    tables["own"] = detector_scores(labelled, weighted_machines)
    found = []
    for aggregator, table in tables.items():
        for system, own in table.groupby("system", sort=False):
            wide = own.pivot(index=["machine", "clip", "domain", "label"], columns="detector", values="score")
            for i, side in enumerate(SIDES):
                if (side.system, side.aggregator) == (system, aggregator):
                    found.append(_mean_of_all(wide[[name for name in wide if _belongs(name, side)]]).assign(side=i))
    return pd.concat(found) if found else pd.DataFrame(columns=["machine", "clip", "domain", "label", "score", "side"])


def _belongs(detector, side):
    if side.detectors in ("fitted", "flow"):
        return (detector == "flow") == (side.detectors == "flow")
    return side.detectors == "every" or detector.endswith(f" {side.detectors}")


def _mean_of_all(wide):
    """DataFrame with `machine`, `clip`, `domain`, `label` and `score`, the mean over the detectors of the machine."""
    there = wide.notna()
    theirs = there.groupby(level="machine").any().loc[wide.index.get_level_values("machine")].to_numpy()
    whole = (there.to_numpy() == theirs).all(axis=1) & theirs.any(axis=1)
    return wide[whole].mean(axis=1).rename("score").reset_index()
