"""What a node holds when the program has run, and what can be asked of it.

Read `model`, which `archive` puts on disk. `local` predicts the rows of a file from the model on
disk; `report` says how good a model is and what matters to it.
"""
