"""Classification: a Gaussian that approximates the posterior under a softmax likelihood.

Read `classes` (labels as numbers), `likelihood` (one row), `approximation` (the Gaussian),
`expansion` (what is summed), `variational` (the steps),
`posterior` (probabilities). Then a site's own: `dense` and `others` (a few rows under a prior that
all others leave), `refinement` and `deviation` (blocks), and `graph_prior`, `site_classes` and
`graph_refinement` (all rows at once).
"""
