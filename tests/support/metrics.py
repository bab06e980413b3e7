"""What a scrape of `/metrics` says, as plain values."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from room_reports.metrics import FAMILIES, PREFIX

SUFFIXES = ("_bucket", "_count", "_sum")


def samples_of(text: str) -> dict[tuple[str, ...], float]:
    """Every sample by its name without prefix and its labels in the order of the list; a bucket's limit comes last."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix(PREFIX)
            listed = FAMILIES.get(name) or FAMILIES[name.rpartition("_")[0]]
            labels = [sample.labels[label] for label in (*listed.labels, "le") if label in sample.labels]
            found[name, *labels] = sample.value
    return found
