"""FLOP/s of float32 products by MKL and by oneDNN, both as they come with libtorch: which of them is faster on this processor.

Prints a line a shape: rows, inputs, outputs; then GFLOP/s of x W^T and of its input gradient g W by each library, the best of
several products, and at last the ratio of the whole time. The shapes are those of the shipped models and of Pythia-160M.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

SHAPES = [
    (512, 64, 192), (512, 64, 64), (512, 64, 384), (512, 192, 64), (512, 64, 1024),
    (1024, 192, 576), (1024, 192, 192), (1024, 192, 1152), (1024, 576, 192), (1024, 192, 2048),
    (1024, 768, 2304), (1024, 768, 768), (1024, 768, 3072), (1024, 3072, 768), (512, 768, 50304),
]  # fmt: skip
LEAST_REPEATS = 8
FLOPS_A_SHAPE = 4e9


def best_s(product: Callable[[], torch.Tensor], repeats: int) -> float:
    product()
    times = []
    for _ in range(repeats):
        start_s = time.perf_counter()
        product()
        times.append(time.perf_counter() - start_s)
    return min(times)


def by_onednn(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    total_s = [0.0, 0.0]
    print(f"{'rows':>6} {'inputs':>7} {'outputs':>7} | {'x W^T: MKL':>10} {'oneDNN':>7} | {'g W: MKL':>10} {'oneDNN':>7}")
    for rows, inputs, outputs in SHAPES:
        x, gradient, weight = torch.randn(rows, inputs), torch.randn(rows, outputs), torch.randn(outputs, inputs)
        flops = 2.0 * rows * inputs * outputs
        repeats = max(LEAST_REPEATS, int(FLOPS_A_SHAPE / flops))
        times_s = [
            best_s(product, repeats)
            for product in (
                lambda: torch.mm(x, weight.t()),
                lambda: by_onednn(x, weight),
                lambda: torch.mm(gradient, weight),
                lambda: by_onednn(gradient, weight.t()),
            )
        ]
        mkl, onednn, mkl_back, onednn_back = (flops / seconds / 1e9 for seconds in times_s)
        print(f"{rows:>6} {inputs:>7} {outputs:>7} | {mkl:>10.0f} {onednn:>7.0f} | {mkl_back:>10.0f} {onednn_back:>7.0f}", flush=True)
        total_s[0] += times_s[0] + times_s[2]
        total_s[1] += times_s[1] + times_s[3]
    print(f"oneDNN takes {total_s[1] / total_s[0]:.2f} times as long as MKL over one product of each")


if __name__ == "__main__":
    main()
