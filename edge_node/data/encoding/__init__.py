"""How a row becomes numbers, once the federation has agreed on it.

Read `targets`, then `encoder`; `groups` says which groups of rows have an input of their own,
`bounds` makes an encoder of a spec alone.
"""
