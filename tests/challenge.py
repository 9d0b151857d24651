"""What tests of the challenge's files make: score files, ground truth, a finished run, the official evaluator in loops."""

import json
import sys

import numpy as np
import pandas as pd
from makers import clip_table, made
from scipy.stats import hmean
from scored import rows_of
from sklearn.metrics import roc_auc_score

from lib.paths import write_text
from lib.settings import load_settings

DOMAINS, LABELS = ("source", "target"), ("normal", "anomaly")


def clips_of(section="00", count=5):
    """[(name, domain, label)] of a section's test clips, `count` a domain and label, as an evaluation set names them."""
    kinds = [(d, x) for d in DOMAINS for x in LABELS for _ in range(count)]
    order = np.random.default_rng(int(section)).permutation(len(kinds))
    return [(f"section_{section}_{i:04d}.wav", *kinds[k]) for i, k in enumerate(order)]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def write_truth(folder, machine, clips, section="00"):
    """The two files of the official layout."""
    for kind, column, one in (("ground_truth_data", 2, "anomaly"), ("ground_truth_domain", 1, "target")):
        lines = [f"{clip[0]},{int(clip[column] == one)}\n" for clip in clips]
        write(folder / kind / f"ground_truth_{machine}_section_{section}_test.csv", "".join(lines))


def write_submission(folder, machine, clips, scores, section="00", kind="anomaly_score"):
    lines = [f"{clip[0]},{score}\n" for clip, score in zip(clips, scores, strict=True)]
    write(folder / f"{kind}_{machine}_section_{section}_test.csv", "".join(lines))


def official_values(score_rows, truth_rows, domain_rows):
    """AUC source, AUC target and pAUC of a section, by the official evaluator's published description.

    Args:
        score_rows, truth_rows, domain_rows: [(name, text)] of the three files, aligned by their sorted order.
    """
    y_pred = [float(text) for _, text in sorted(score_rows)]
    y_true = [int(text) for _, text in sorted(truth_rows)]
    domain = [int(text) for _, text in sorted(domain_rows)]
    values = []
    for wanted in (0, 1):
        kept = [i for i in range(len(y_true)) if domain[i] == wanted or y_true[i] == 1]
        values.append(roc_auc_score([y_true[i] for i in kept], [y_pred[i] for i in kept]))
    return [*values, roc_auc_score(y_true, y_pred, max_fpr=0.1)]


def official_score(sections):
    """The official total of [[AUC source, AUC target, pAUC], …] of all machines and sections."""
    return hmean(np.maximum(np.array(sections, dtype=float), sys.float_info.epsilon), axis=None)


def official_decisions(decided, truth, domain, wanted):
    """Precision, recall and F1 of a domain's clips, by the official evaluator's description; lists of 0 and 1."""
    pairs = [(t, d) for t, d, where in zip(truth, decided, domain, strict=True) if where == wanted]
    tp, fp, fn = (sum(pair == kind for pair in pairs) for kind in ((1, 1), (0, 1), (1, 0)))
    precision = tp / np.maximum(tp + fp, sys.float_info.epsilon)
    recall = tp / np.maximum(tp + fn, sys.float_info.epsilon)
    return precision, recall, 2.0 * precision * recall / np.maximum(precision + recall, sys.float_info.epsilon)


def finished_run(run, systems, machines=("fan", "ToyCar"), seeds=(0,), asked=(), section="00", **size):
    """Write what a finished run of `makers.made` scores would hold, of what `lib.submission` reads; returns the run."""
    rows = rows_of(made(machines, systems, seeds, **size), systems=asked)
    write_text(run.tables / "clip_scores.csv", rows.to_csv(index=False))
    settings = load_settings("smoke").model_copy(update={"systems": tuple(asked)}).model_dump(mode="json")
    write_text(run.tables / "run.json", json.dumps({"settings": settings}))
    clips = (
        clip_table(**size)
        .query("part == 'test'")
        .assign(split="test", section=section)
        .rename(columns={"clip": "stem"})
    )
    train = clips.assign(split="train", stem="train_" + clips["stem"])
    for machine in machines:
        write_text(run.machine(machine) / "audit.csv", pd.concat([train, clips]).to_csv(index=False))
    return run
