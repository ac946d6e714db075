"""Likelihoods of one latent function: counts, times to an event with censoring, ordered classes.

Read `quadrature` (averages over a Gaussian, of any of them), then one of `counts`, `survival` and
`ordinal`; `posterior` is what they all end in. The steps are those of `inference.classification`.
"""
