import subprocess
import sys

import pytest
import torch

from lib.network.device import pick_precision, prepare
from lib.network.extractor import Extractor, map_size

CPU = torch.device("cpu")


def test_what_is_asked_for_is_taken():
    assert pick_precision("fp32", CPU) == torch.float32 and pick_precision("bf16", CPU) == torch.bfloat16


@pytest.mark.parametrize("feature", ["avx512_bf16", "amx_bf16", "avx2"])
def test_auto_takes_bfloat16_where_the_processor_has_it(monkeypatch, feature):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {feature: True}, raising=False)
    assert pick_precision("auto", CPU) == (torch.float32 if feature == "avx2" else torch.bfloat16)
    assert pick_precision("auto", CPU, (7, 10)) == pick_precision("auto", CPU)


@pytest.mark.parametrize(
    ("size", "narrow"), [((7, 10), False), ((2, 2), False), ((1, 5), True), ((7, 1), True), ((1, 1), True)]
)
@pytest.mark.parametrize("asked", ["auto", "bf16", "fp32"])
def test_a_narrow_map_takes_float32_on_a_cpu(monkeypatch, capsys, asked, size, narrow):
    """oneDNN's bf16 convolutions of stride 2 give NaN at an output of width 1 on processors with AMX."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    expected = torch.float32 if narrow or asked == "fp32" else torch.bfloat16
    assert pick_precision(asked, CPU, size) == expected
    assert ("too narrow for bf16" in capsys.readouterr().out) == (narrow and asked == "bf16")


def test_a_narrow_map_changes_nothing_on_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert pick_precision("auto", torch.device("cuda"), (1, 1)) == torch.bfloat16
    assert pick_precision("bf16", torch.device("cuda"), (1, 1)) == torch.bfloat16


@pytest.mark.parametrize("stride", [32, 16])
@pytest.mark.parametrize(("mels", "frames"), [(224, 313), (32, 16), (33, 32), (64, 48), (16, 129)])
def test_map_size_is_the_networks(mels, frames, stride):
    with torch.no_grad():
        found = Extractor(stride=stride).eval()(torch.rand(1, 1, mels, frames)).shape[2:]
    assert tuple(found) == map_size(mels, frames, stride)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
def test_the_memory_of_large_tensors_is_kept():
    """In a process of its own; what is mapped is looked at, since a kernel may take pages back whenever it likes."""
    code = """
import torch
from lib.network.device import prepare
def pages():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0])
prepare(0, 1)
made = torch.ones(2**24)  # 64 MiB, 16384 pages
before = pages()
del made
print(before - pages())"""
    given_back = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(given_back) < 500


def test_prepare_sets_threads_and_seed():
    before = torch.get_num_threads()
    try:
        prepare(3, 2)
        first, threads = torch.rand(4), torch.get_num_threads()
        prepare(3, 1)
        assert threads == 2 and torch.get_num_threads() == 1 and torch.equal(torch.rand(4), first)
        prepare(4, 1)
        assert not torch.equal(torch.rand(4), first)
    finally:
        torch.set_num_threads(before)
