"""The paper's tables and figures made again at a chosen scale, as one report."""
