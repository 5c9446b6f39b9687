"""PyTorch's fused Adam for `adam.rs`: `adam.py THREADS PARAMETERS UPDATES`.

Says 0 after the first turn; then for each line `turn` the seconds of an update, and for `distance` how
far the parameters have gone together.
"""

import sys
import time

import torch

threads, length, updates = map(int, sys.argv[1:])
torch.set_num_threads(threads)
param = torch.full((length,), 0.5, requires_grad=True)
# The same in the driver.
param.grad = ((torch.arange(length) * 40_503) % 65_536).to(torch.float32) / 65_536 - 0.5
adam = torch.optim.Adam([param], fused=True)


def turn():
    start = time.perf_counter()
    for _ in range(updates):
        adam.step()
    return (time.perf_counter() - start) / updates


turn()
print(0, flush=True)
for line in sys.stdin:
    if line.strip() == "turn":
        print(turn(), flush=True)
    else:
        print((param.detach() - 0.5).abs().sum(dtype=torch.float64).item(), flush=True)
