"""Classification: a Gaussian that approximates the posterior under a softmax likelihood.

Read `classes` (labels as numbers), `likelihood` (one row), `approximation` (the Gaussian),
`expansion` (what is summed), `variational` (the steps), `posterior` (probabilities); then `sites`,
what a site's own rows add.
"""
