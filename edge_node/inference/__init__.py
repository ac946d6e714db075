"""The mathematics: pure functions and frozen values, no input or output.

Read `kernels` (covariance functions), `features` (the finite map through which all nodes see one),
`messages` (what rows say, as sums), then `regression` and `classification` (posteriors). `fields`
makes devices the variables of one. `private` makes posteriors of sums with noise, `evaluation` asks
a posterior questions, and `numerics` holds the arrays, hashes and BLAS calls beneath all of them.
"""
