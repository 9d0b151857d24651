import json
import subprocess
import sys

import torch

from lib.network.experiment import Experiment
from lib.paths import NOTEBOOKS, PROJECT, Run
from lib.settings import Settings


def imports_of(notebook):
    cells = json.loads((NOTEBOOKS / f"{notebook}.ipynb").read_text())["cells"]
    return "".join([cell for cell in cells if cell["cell_type"] == "code"][1]["source"])


WITHOUT = ("01_data_audit", "05_inlier_fitting", "06_ensemble_and_tables", "08_spectrum_reference")


def test_notebooks_without_a_network_start_without_torch():
    """Its import takes seconds, which a run of a hundred fits would pay a hundred times."""
    code = "\n".join(map(imports_of, WITHOUT))
    code += "\nimport sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT)
    assert done.stdout.split()[-1:] == ["False"], done.stderr


def test_the_device_comes_with_the_seed_and_the_threads(root, tmp_path):
    experiment = Experiment(
        "02_autoencoder_baseline", "fan", Settings(threads=1), Run(tmp_path / "r"), "", str(root), seed=7
    )
    torch.manual_seed(0)
    assert experiment.samples.dtype == torch.int16 and experiment.device.type in ("cpu", "cuda")
    first = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(torch.rand(3), first) and torch.get_num_threads() == 1
