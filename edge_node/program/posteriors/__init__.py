"""Agreeing on a posterior under agreed features, task by task.

Read `regression` with `calibration` (how wide intervals are); then `classification` (step by step)
with `class_refinement` (a site's own), and `likelihoods` (the same steps for other tasks). Which
refinement a site makes is in `site_kind`.
"""
