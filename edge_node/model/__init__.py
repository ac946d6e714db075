"""What a node holds when the program has run, and what can be asked of it.

Read `model`, with its `provenance`, and the `predictions` that it makes; `answers` computes those
of counts, of times and of ordered classes. `archive` puts a model on disk, and `own` a site's part
of it. `local` predicts the rows of a file from there; `report` says how good a model is and what
matters to it.
"""
