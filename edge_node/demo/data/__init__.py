"""The demonstration's data: chosen, doubted, shown, and spread over sites.

Read `datasets` (what a data set is, and the built-in ones), `csv_file` (a user's own file) with
`doubts` (which columns are refused), `schema` (what is shown), `sites` (who holds which rows) with
`numbers` (which rows are near each other).
"""
