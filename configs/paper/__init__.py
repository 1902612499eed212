"""The paper's tables and figures, each a matrix of runs."""
