"""What a node holds when the program has run, and what can be asked of it.

Read `model`, which `archive` puts on disk; `answers` is what it predicts of counts, of times and of
ordered classes. `local` predicts the rows of a file from the model on disk; `report` says how good
a model is and what matters to it.
"""
