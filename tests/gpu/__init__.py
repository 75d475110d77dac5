"""`python -m tests.gpu`: prove and measure bundles, worker and training on this machine's GPU."""
