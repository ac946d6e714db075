"""Classification: a Gaussian that approximates the posterior under a softmax likelihood.

Read `classes` (labels as numbers), `likelihood` (one row), `approximation` (the Gaussian),
`expansion` (what is summed), `secants` (what that says of a curvature), `variational` (the steps),
`posterior` (probabilities).
"""
