"""The steps of a training on its device: a batch is sent, and on an NVIDIA GPU the step is recorded once and replayed.

A recorded step (CUDA graph) is one call for the host in place of hundreds. It holds the way from the bank to the
gradients; the optimizer's own step, a few calls, and the learning rate stay outside, so that neither has to know.
"""

from collections.abc import Callable

import torch

from lib.network.batch import Batch
from lib.network.device import is_host
from lib.network.sent import SentBatch

Terms = dict[str, torch.Tensor]
WARM_UP = 3  # steps before the recording, in which libraries choose their algorithms


class Steps:
    """Calls `work(batch)`, which leaves the gradients and returns numbers of the step, for one batch after the other.

    Args:
        work: (batch) → {name: 0-d tensor}; it reads the batch in its tensors alone, and drops the old gradients first.
        parameters: whose gradients it leaves.
        device: where it works.
        classes: K of the second task.
    """

    def __init__(
        self,
        work: Callable[..., Terms],
        parameters: list[torch.nn.Parameter],
        device: torch.device,
        classes: int = 0,
    ):
        self.work, self.device, self.classes, self.sent = work, device, classes, None
        self.recorded = Recorded(work, parameters) if device.type == "cuda" else None

    def __call__(self, batch: Batch, **more) -> Terms:
        """One step; with `more`, which `work` is given, it is never a recorded one."""
        if is_host(self.device):
            return self.work(batch, **more)
        if self.sent is None:
            self.sent = SentBatch(batch, self.classes, self.device)
        else:
            self.sent.fill(batch)
        return self.work(self.sent, **more) if more or self.recorded is None else self.recorded(self.sent)


class Recorded:
    """`work` as one CUDA graph, after a few calls that are as they are; where that fails, it goes on so, with a line.

    The graph writes gradients and numbers into memory of its own, at every call the same.
    """

    def __init__(self, work: Callable[[SentBatch], Terms], parameters: list[torch.nn.Parameter]):
        self.work, self.parameters, self.stream = work, parameters, torch.cuda.Stream()
        self.warm, self.graph, self.failed = 0, None, False

    def __call__(self, batch: SentBatch) -> Terms:
        """The numbers of one step on `batch`, at every call the same one."""
        if self.failed:
            return self.work(batch)
        if self.warm < WARM_UP:
            return self._beside(batch)
        if self.graph is None and not self._record(batch):
            return self.work(batch)
        self.graph.replay()
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient  # a step in between may have had its own
        return self.terms

    def _beside(self, batch):
        """As it is, on the stream that will record."""
        self.warm += 1
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            terms = self.work(batch)
        torch.cuda.current_stream().wait_stream(self.stream)
        return terms

    def _record(self, batch):
        """Record without computing; whether that went well."""
        graph, usual = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph, stream=self.stream):
                self.terms = self.work(batch)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            print(f"the step cannot be recorded on this GPU ({reason}); it goes on call by call", flush=True)
            torch.cuda.set_stream(usual)  # a recording that is broken off does not go back to it
            self.failed = True
            return False
        self.graph, self.gradients = graph, [parameter.grad for parameter in self.parameters]
        return True
