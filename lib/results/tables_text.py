"""The tables' text: Markdown and LaTeX."""

import re

import pandas as pd

MADE_OF = "inlier models or systems used for ensemble"  # second column of Tables 2–4
SIGNS = {sign: rf"\{sign}" for sign in "_%&#${}"} | {
    "–": "--",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
    "§": r"\S{}",
    "−": "$-$",
    "…": r"\dots{}",
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def markdown(table: pd.DataFrame) -> str:
    """A table's text as Markdown; intervals stand below their values, a paper's row without its words."""
    table = _sparse(table).replace({r" \[": "<br>["}, regex=True)
    lines = [table.columns, ["---"] * len(table.columns), *table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def latex(table: pd.DataFrame, words: str) -> str:
    """A table's text as LaTeX, laid out as `markdown`; it needs booktabs and, with many columns, graphicx."""
    lines, wide = [], len(table.columns) > 5
    for cells in _sparse(table).itertuples(index=False):
        pairs = [re.fullmatch(r"(.*?)(?: (\[.*\]))?", cell).groups("") for cell in cells]
        lines.append(r"\addlinespace" if wide and lines and cells[0] else "")
        lines += [" & ".join(map(_escape, part)) + r" \\" for part in zip(*pairs, strict=True) if any(part)]
    header = list(_sparse(table).columns)
    return "\n".join([
        r"\begin{table*}", r"\centering", rf"\caption{{{_escape(words)}}}",
        r"\resizebox{\textwidth}{!}{%" if wide else "{%", rf"\begin{{tabular}}{{{'l' * len(header)}}}", r"\toprule",
        " & ".join(map(_escape, header)) + r" \\", r"\midrule", *filter(None, lines),
        r"\bottomrule", r"\end{tabular}}", r"\end{table*}", "",
    ])  # fmt: skip


def _sparse(table):
    """Without the words that a paper's row repeats, and without `whose` where all rows are ours."""
    if "whose" not in table:
        return table
    if (table["whose"] == "ours").all():
        return table.drop(columns="whose")
    paper = table["whose"] == "paper"
    return table.assign(**{name: table[name].mask(paper, "") for name in ("system", MADE_OF)})


def _escape(text):
    """Text for LaTeX; a formula, which only Table 1 has, stays as it is."""
    if text.startswith(r"$\mathcal"):
        return text
    return "".join(SIGNS.get(sign, sign) for sign in text)
