"""HTTP in and out: the REST API and the page. It knows jobs and never the model."""
