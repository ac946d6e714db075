"""What a node holds when the program has run, and what can be asked of it.

Read `model`; `local` answers files of rows from the model on disk, `report` is what it says of
itself.
"""
