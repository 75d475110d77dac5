"""The human study: a page on which people rank the results of several methods, and the report of their rankings."""
