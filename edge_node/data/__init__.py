"""From the site's file to arrays: rows are streamed, so that memory does not grow with them.

Read `sources` (a file, checked and read in batches), `encoding` (what a row becomes, once that is
agreed on) and `sums` (the sums over the federation from which it is agreed).
"""
