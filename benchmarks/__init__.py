"""Measurements as ratios, against a limit or a peer in the same run: python -m benchmarks NAME.

What a node costs: `statistics`, `kernel`, `prediction`, `startup`, `memory`. What a federation
costs: `cpu`, `wire`, `secure`. How well it predicts: `accuracy`, `fedavg` (beside Flower),
`hospitals`, `images`, `privacy`. What its sums give away: `disclosure`. What messages between
devices come to: `field`. Messages on graphs beside solvers: `propagation`. How finite networks
approach its kernels: `width`. They share `datasets` (real rows and their splits), `federations` and
`models` (synthetic ones), `figures` (rows of scores), `result` (a ratio and what it was measured
with) and `output` (how results are shown). Their commands are in `commands/`. `results/` keeps the
figures of docs/model.md, docs/privacy.md and docs/threat-model.md.
"""
