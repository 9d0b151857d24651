"""The page of a machine of one's own (`make fit`): what was heard, and what the held-out clips say of each row."""

import base64
import html
import io
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from lib import paths
from lib.listening.listener import Listener
from lib.results.plots import PAGE, laid_out, write_png

STYLE = """:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;
padding:0 1rem}table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}
img{max-width:100%;background:#fff}code{background:color-mix(in srgb,currentColor 10%,transparent);padding:.1em .3em}
div{overflow-x:auto}"""
SAID = 20  # problems that are listed
WORDS = """<p><b>Before you trust it:</b> these clips were recorded as the others were. Another day, place or
microphone may shift all scores and raise the alarms many times over. Score healthy clips of another day first; where
too many are called anomalous, fit again with clips of several days, or set
<code>FALSE_ALARMS=0.01</code>.</p><p>Spectrum compares a clip's spectrum with those of healthy clips, nothing is
trained; power, flux, level, modulation and both are its views. OE and OE-Flow are networks that learnt to tell this
machine from other sound, Shared one that learnt to tell all machines apart. The reason beside a score is always
Spectrum's.</p>"""


def write(model: Path) -> Path:
    """Write `fit.html` into the folder of a machine of a run; returns its path."""
    listener = Listener.load(model)
    rows = _rows(listener)
    problems = pd.read_csv(model / "problems.csv", keep_default_na=False)
    wrong = problems[~problems["problem"].str.startswith("name outside the grammar")]  # any name will do here
    more = f"<p>… and {len(wrong) - SAID} more, in {html.escape(str(paths.shown(model)))}/problems.csv.</p>"
    more, wrong = more if len(wrong) > SAID else "", wrong[["file", "problem", "mend"]].head(SAID)
    clips = pd.read_csv(model / "audit.csv", keep_default_na=False)
    clips = clips[clips["usable"].astype(str) == "True"]
    best = rows.loc[rows["row"] == listener.row].iloc[0]
    parts = [
        f"<h1>{html.escape(listener.machine)}</h1>",
        f"<p>{(clips['split'] == 'train').sum()} healthy clips to learn from, {(clips['split'] == 'test').sum()} held "
        f"out, {clips['seconds'].median():.1f} s each. Of the held-out clips, which nothing was trained on, "
        f"<b>{html.escape(listener.row)}</b> calls {best['alarms']} of {best['clips']} anomalous at its threshold "
        f"{best['threshold']:.2f}.</p>",
        f'<img alt="Scores of healthy clips by row" src="data:image/png;base64,{_png(_scores(listener))}">',
        "<p>Scores are standardised: 0 is the usual healthy clip, 1 a deviation. A row whose held-out clips lie far "
        "above 0 has learnt its training clips by heart; false alarms would be many.</p>",
        _table(rows),
        WORDS,
        "<h2>Score new recordings</h2>",
        f"<p><code>make score MODEL={html.escape(str(paths.shown(model)))} CLIPS=&lt;folder&gt;</code> (with "
        "<code>ROW=…</code> for another row), <code>make watch MODEL=… FOLDER=…</code> for files as they arrive.</p>",
        "<h2>What was wrong with the recordings</h2>",
        _table(wrong) + more if len(wrong) else "<p>Nothing.</p>",
    ]
    title = html.escape(listener.machine)
    page = f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>" \
           f"<title>{title}</title><style>{STYLE}</style>{''.join(parts)}</html>"  # fmt: skip
    paths.write_text(model / "fit.html", page)
    return model / "fit.html"


def _rows(listener):
    """A line a row of the tables: its threshold, and what the held-out clips say."""
    found = []
    for row in listener.rows:
        other = listener.using(row)
        held = other.held_out
        found.append({
            "row": row, "threshold": round(other.threshold, 2), "clips": len(held),
            "alarms": int((held > other.threshold).sum()), "mean": round(float(held.mean()), 2),
            "deviation": round(float(held.std()), 2),
        })  # fmt: skip
    return pd.DataFrame(found)


@laid_out
def _scores(listener) -> Figure:
    tables = []
    for row in listener.rows:
        other = listener.using(row)
        tables += [{"row": row, "score": s, "clips": "set the threshold"} for s in other.normal]
        tables += [{"row": row, "score": s, "clips": "held out"} for s in other.held_out]
    figure, axis = plt.subplots(figsize=(PAGE, 0.35 * len(listener.rows) + 1))
    colours = {"set the threshold": "#999999", "held out": "#D55E00"}
    sns.stripplot(pd.DataFrame(tables), x="score", y="row", hue="clips", palette=colours, size=3, dodge=True, ax=axis)
    for i, row in enumerate(listener.rows):
        axis.plot([listener.using(row).threshold] * 2, [i - 0.4, i + 0.4], color="#111111", lw=1.2)
    axis.set(xlabel="score; the line is the threshold", ylabel="")
    axis.legend(title="", frameon=False, loc="lower right")
    sns.despine(figure)
    return figure


def _png(figure):
    content = io.BytesIO()
    write_png(figure, content, 120)
    plt.close(figure)
    return base64.b64encode(content.getvalue()).decode()


def _table(table):
    head = "".join(f"<th>{html.escape(str(name))}" for name in table.columns)
    lines = ("".join(f"<td>{html.escape(str(np.asarray(value)))}" for value in row) for row in table.to_numpy())
    return f"<div><table><tr>{head}{''.join(f'<tr>{line}' for line in lines)}</table></div>"
