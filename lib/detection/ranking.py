"""Which detectors are best over all machines of a run: protocol `top20` (Sec. 4.1, "the evaluation results")."""

import pandas as pd

from lib import clock
from lib.detection.metrics import SCORES, harmonic_mean, machine_scores
from lib.systems import ROWS

TOP = 20


@clock.counts("scoring")
def rank_detectors(detectors: pd.DataFrame, max_fpr: float = 0.1) -> pd.DataFrame:
    """Overall score of each detector of each system under the paper rule, best first, and which are in `top20`.

    Args:
        detectors: as `detector_scores` returns. max_fpr: p of pAUC.

    Returns:
        DataFrame with `system`, `detector`, `overall` (harmonic mean over machines and scores, mean over seeds) and
        `top20`. Machines count that have labels of both kinds in a domain; a detector that some such machine of its
        system lacks comes last, with NaN. A system of no more than `TOP` detectors takes all. Empty without labels.
    """
    labelled = detectors[(detectors["part"] == "test") & (detectors["label"] != "")]
    keys, rows = ["system", "detector", "seed", "machine"], []
    columns = [labelled[name].to_numpy() for name in ("score", "domain", "label")]
    for group, places in labelled.groupby(keys, sort=False).indices.items():
        found = machine_scores(*(values[places] for values in columns), max_fpr)["paper"]
        rows.append((*group, *(found[name][0] for name in (*SCORES, "hmean"))))
    table = pd.DataFrame(rows, columns=[*keys, *SCORES, "hmean"]).dropna(subset="hmean")
    machines = table.groupby(["system", "detector", "seed"], sort=False)["machine"].transform("nunique")
    table = table[machines == table.groupby(["system", "seed"])["machine"].transform("nunique")]
    groups = table.groupby(["system", "detector", "seed"], sort=False)[list(SCORES)]
    rows = [(*group, harmonic_mean(values.to_numpy()[values.notna().to_numpy()])) for group, values in groups]
    table = pd.DataFrame(rows, columns=["system", "detector", "seed", "overall"])
    overall = table.groupby(["system", "detector"], sort=False)["overall"].mean().reset_index()
    if overall.empty:
        return overall.assign(top20=False)
    table = detectors[["system", "detector"]].drop_duplicates().merge(overall, how="left")
    table = table.assign(order=table["system"].map(ROWS.index))
    table = table.sort_values(["order", "overall", "detector"], ascending=[True, False, True], ignore_index=True)
    systems = table.groupby("system")
    top = (systems.cumcount() < TOP) & table["overall"].notna() | (systems["detector"].transform("size") <= TOP)
    return table.drop(columns="order").assign(top20=top)
