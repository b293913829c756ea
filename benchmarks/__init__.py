"""The laboratory: what the project's own pages need, and no user of the package.

    python -m benchmarks NAME measure …    # rows into benchmarks/results, stamped with what they are of
    python -m benchmarks NAME page         # the page of these rows in docs/, and its picture
    python -m benchmarks NAME check        # exit 1 where the page is not of its rows, or they of what has changed
    python -m benchmarks all page          # every page; also `all check`

NAME is a module or folder here with `COMMANDS`: functions whose arguments are the command line's. One with pages of its
own has `pages()`; one with a part in a guide has `part()`, which docs/generate.py puts there.
"""
