"""What averaging does with the rows that Tangent Mesh learns from: Flower's FedAvg and XGBoost.

Flower pins libraries that exclude ours, so it runs in a Python of its own (`job` is what the two
exchange). There, `server` starts Flower's simulation, `clients` is what each site answers, `mlp`
and `trees` are what they train: these four and `job` need NumPy, Flower and XGBoost only. Here,
`inputs` makes a job of a case of `benchmarks.accuracy`, `peers` runs it, `ours` runs the daemons'
program, `measuring` keeps the figures of both, and `tables` shows them.
"""
