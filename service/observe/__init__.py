"""How the service is seen from outside: metrics, traces and logs. Knows neither the model nor how jobs are made."""
