"""The cells of Tables 2–4, and the marks behind them: † a mean of fewer, ‡ fewer machines, § one domain."""

from dataclasses import dataclass

import pandas as pd

from lib.detection.collected import LEFT_OUT, MISSING
from lib.detection.score_files import DETECTORS, FLOW
from lib.recordings.dcase import paper_order
from lib.systems import ENSEMBLES, ROWS, ROWS_OF, SYSTEMS

TABLES = {2: "auc_source", 3: "auc_target", 4: "hmean"}
NAMED = 4  # reasons, and names of a reason, that a caption spells out


def choose(evaluation: pd.DataFrame, number: int, protocol: str, rule: str) -> tuple[pd.DataFrame, list[str]]:
    """The rows of `ensembles.evaluate` that one of Tables 2–4 shows, and its machines in the paper's order."""
    chosen = evaluation[
        (evaluation["score"] == TABLES[number]) & (evaluation["protocol"] == protocol) & (evaluation["rule"] == rule)
    ]
    return chosen, paper_order(set(chosen["machine"]) - {"overall"})


@dataclass(frozen=True)
class Marks:
    """What is behind the cells of a table.

    Attributes:
        lacking: {(row, machine): what its mean lacks there, or why there is none}; †.
        fewer: {row: machines that other rows have and its overall lacks}; ‡.
        single: {machine: the one domain that it is scored in}; §.
        left_out: as `collected.Collected.left_out`.
    """

    lacking: dict[tuple[str, str], list[str]]
    fewer: dict[str, list[str]]
    single: dict[str, str]
    left_out: pd.DataFrame

    @classmethod
    def of(
        cls, evaluation: pd.DataFrame, number: int, protocol: str, rule: str, left_out: pd.DataFrame | None = None
    ) -> "Marks":
        """The marks of one table; arguments as `tables.layout`."""
        left_out = pd.DataFrame(columns=LEFT_OUT) if left_out is None else left_out
        chosen, machines = choose(evaluation, number, protocol, rule)
        seeds = chosen[chosen["value"].notna()].pivot(index="system", columns="machine", values="seeds").fillna(0)
        seeds = seeds.reindex(columns=[*machines, "overall"], fill_value=0).to_dict("index")  # {row: {machine: seeds}}
        single = _single(evaluation[(evaluation["protocol"] == protocol) & (evaluation["rule"] == rule)])
        lacking, fewer = _left_out_of(seeds, left_out), {}
        scored = {machine for each in seeds.values() for machine, count in each.items() if count}
        for row, own in seeds.items():
            for machine in machines:
                here = own[machine]
                for member in ENSEMBLES[row][0] if row in ENSEMBLES and here else ():
                    if member not in seeds or seeds[member][machine] < here:
                        lacking.setdefault((row, machine), []).append(member)
                if here < own["overall"] and (machine not in single or machine in scored):
                    fewer.setdefault(row, []).append(machine)
        return cls(lacking, fewer, single, left_out)

    def of_cell(self, row: str, machine: str) -> str:
        """The marks behind one cell; "overall" is a machine here."""
        if machine == "overall":
            return "‡" * (row in self.fewer) + "§" * bool(self.single)
        return "†" * ((row, machine) in self.lacking) + "§" * (machine in self.single)

    def words(self) -> str:
        """What the marks mean, for a caption; "" without any."""
        few, lacks = {}, {}
        for row in [row for row in ROWS if row in self.fewer]:
            few.setdefault(", ".join(self.fewer[row]), []).append(row)
        for (_, machine), names in self.lacking.items():
            lacks.setdefault(machine, set()).update(names)
        lacks = [f"{m} has no {', '.join(sorted(lacks[m], key=_row_order))}" for m in paper_order(lacks)]
        text = f" † a mean of what the machine has: {'; '.join(lacks)}." if lacks else ""
        few = [f"without {machines}: {', '.join(rows)}" for machines, rows in few.items()]
        text += f" ‡ over fewer machines, {'; '.join(few)}." if few else ""
        if self.single:
            domains = ", ".join(f"{machine}: {domain}" for machine, domain in self.single.items())
            text += f" § one domain ({domains}): harmonic mean of its AUC and pAUC; overall of the values there are."
        return text + self._reasons()

    def _reasons(self):
        missing = self.left_out["state"] == MISSING
        reasons = []
        for (state, why), rows in self.left_out[~missing].groupby(["state", "why"], sort=False):
            names = [" ".join(filter(None, (row.machine, row.system, _part(row)))) for row in rows.itertuples()]
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            reasons.append(f"{state}: {', '.join(names[:NAMED])}{more} ({why.splitlines()[0]})")
        if len(reasons) > NAMED:
            reasons[NAMED:] = [f"{len(reasons) - NAMED} more reasons"]
        if missing.any():
            machines = ", ".join(paper_order(self.left_out.loc[missing, "machine"]))
            reasons.append(f"{MISSING}: {missing.sum()} score files ({machines})")
        return f" Not in the table (left_out.csv): {'; '.join(reasons)}." if reasons else ""


def _single(evaluation):
    """{machine: its domain} of the machines that are scored in one domain alone."""
    found = evaluation[evaluation["value"].notna() & (evaluation["machine"] != "overall")]
    scores = found.groupby("machine")["score"].agg(set)
    single = {machine: scores[machine] & {"auc_source", "auc_target"} for machine in paper_order(scores.index)}
    return {m: name.removeprefix("auc_") for m, names in single.items() if len(names) == 1 for name in names}


def _left_out_of(seeds, left_out):
    """{(row, machine): [what]}, of the rows that files are left out of and of the ensembles of such rows."""
    lacking = {}
    for entry in left_out[left_out["system"] != ""].itertuples():
        for row in ROWS_OF.get(entry.system, (entry.system,)):
            if row not in seeds or entry.machine not in seeds[row]:
                continue
            if seeds[row][entry.machine]:
                what = f"{row} {_part(entry)}".strip()
                for name in (row, *(name for name, (members, _) in ENSEMBLES.items() if row in members)):
                    if name in seeds:
                        lacking.setdefault((name, entry.machine), []).append(what)
            else:
                lacking.setdefault((row, entry.machine), []).append(row)
    return {key: list(dict.fromkeys(names)) for key, names in lacking.items()}


def _row_order(words):
    """Where a row, whose name the words begin with, stands in the tables."""
    rows = [i for i, row in enumerate(ROWS) if words == row or words.startswith(f"{row} ")]
    return max(rows, default=len(ROWS)), words


def _part(entry):
    """Which part of a row's scores an entry of `left_out` is: parameter, detectors, seed."""
    if not entry.file:
        return ""
    system, name = SYSTEMS.get(entry.system), entry.file.rsplit("/", 1)[-1]
    parts = [entry.parameter] if entry.parameter != "all" else []
    if system and system.families and "flow" in system.detectors:
        parts += ["flow"] if name == FLOW else ["GMM and KNN"] if name == DETECTORS else []
    return " ".join([*parts, f"seed {entry.seed}"])
