"""The selective scan that Mamba trains with: the compiled loops of scan.cpp on a CPU, the plain form elsewhere."""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("scan.cpp")
FLAGS = ("-O3", "-march=native", "-ffast-math", "-fopenmp-simd", "-shared", "-fPIC")
CHUNK, LANES, STATES = 32, 16, 16


def plain_scan(x, dt, a, b, c):
    """y [batch, length, channels] of x and dt [batch, length, channels], a [states, channels], b and c [batch, length, states]."""
    h = x.new_zeros(x.shape[0], *a.shape)
    steps = []
    for t in range(x.shape[1]):
        h = torch.exp(dt[:, t, None] * a) * h + (dt[:, t] * x[:, t])[:, None] * b[:, t, :, None]
        steps.append((h * c[:, t, :, None]).sum(1))
    return torch.stack(steps, 1)


def scan(x, dt, a, b, c):
    """plain_scan, by the compiled loops where they can be had and their sizes hold."""
    if x.is_cuda or a.shape[0] != STATES or a.shape[1] % LANES or shutil.which("g++") is None:
        return plain_scan(x, dt, a, b, c)
    return torch.ops.ink.scan(*(part.float().contiguous() for part in (x, dt, a, b, c)))[0]


@functools.cache
def _library() -> ctypes.CDLL:
    """The compiled loops, made once for each source and processor and kept among the user's temporary files."""
    model = [line for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if line.startswith(("model name", "flags"))]
    key = hashlib.sha256(SOURCE.read_bytes() + repr((FLAGS, model[:2])).encode()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"memcap-scan-{os.getuid()}-{key}.so"
    if not library.exists():
        partial = library.with_suffix(f".{os.getpid()}")
        subprocess.run(["g++", *FLAGS, str(SOURCE), "-o", str(partial)], check=True)
        os.replace(partial, library)
    return ctypes.CDLL(str(library))


def _call(function: str, sizes, *tensors) -> None:
    arguments = [*map(ctypes.c_size_t, sizes), *(ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors)]
    getattr(_library(), function)(*arguments)


@torch.library.custom_op("ink::scan", mutates_args=())
def _forward(x: torch.Tensor, dt: torch.Tensor, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    y, borders = torch.empty_like(x), x.new_empty(_border_shape(x))
    _call("scan_forward", x.shape, x, dt, a, b, c, y, borders)
    return y, borders


@_forward.register_fake
def _(x, dt, a, b, c):
    return torch.empty_like(x), x.new_empty(_border_shape(x))


def _border_shape(x):
    return (x.shape[0], x.shape[2] // LANES, -(-x.shape[1] // CHUNK), STATES, LANES)


@torch.library.custom_op("ink::scan_backward", mutates_args=())
def _backward(x: torch.Tensor, dt: torch.Tensor, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, borders: torch.Tensor,
              dy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    gradients = (torch.empty_like(x), torch.empty_like(dt), torch.zeros_like(a), torch.zeros_like(b), torch.zeros_like(c))
    _call("scan_backward", x.shape, x, dt, a, b, c, borders, dy, *gradients)
    return gradients


@_backward.register_fake
def _(x, dt, a, b, c, borders, dy):
    return tuple(torch.empty_like(part) for part in (x, dt, a, b, c))


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs, output[1])


def _differentiate(ctx, dy, _):
    return torch.ops.ink.scan_backward(*ctx.saved_tensors, dy.contiguous())


_forward.register_autograd(_differentiate, setup_context=_save)
