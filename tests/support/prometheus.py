"""Read what Prometheus would read."""

from prometheus_client.parser import text_string_to_metric_families

Samples = dict[str, float]


def samples(text: str) -> Samples:
    """Every sample of an answer to `GET /metrics`, by its name and labels: `name{label="value",…}`, labels sorted."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def names(found: Samples) -> set[str]:
    """Names of the samples, without labels."""
    return {name.partition("{")[0] for name in found}
