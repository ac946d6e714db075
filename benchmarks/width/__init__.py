"""The claims of infinite width, shown on finite networks: python -m benchmarks width.

Read `networks` (a finite network whose limit is one of the program's kernels), `training` (gradient
descent, and what a kernel says of it), `trained` (claims a to c: predictions, weights, decay),
`initial` (d and e: outputs before training, signals with depth), `correction` (f: what a finite
width adds), then `fits` (slopes, beside those that theory has), `measure` (all of it) and `figure`.

A figure is a row: `claim`, `series` (what is measured), `network` (in which), `x` (width, depth,
time or depth / width), `value`, `expected` (where theory has a number), and `draws`, the
initialisations that it is of.
"""
