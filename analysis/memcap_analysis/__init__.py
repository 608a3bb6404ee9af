"""Reads memcap's result files and turns them into tables, figures and one HTML page.

results     the one module that knows the layout of results.h5
statistics  the statistics table, computed again from the trials alone
tables      capacity and the other tables, and the paper's published numbers beside them
figures     matplotlib figures, pure functions of a data frame
report      the command: result folders in, one HTML file out
"""

import logging

# Where the home takes no files, matplotlib works in a temporary folder, and need not say so.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
