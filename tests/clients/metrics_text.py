"""Reads a scrape from stdin with Prometheus' own parser, and prints each family with its type, help and samples."""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

families = []
for family in text_string_to_metric_families(sys.stdin.read()):
    samples = [{"name": one.name, "labels": one.labels, "value": one.value} for one in family.samples]
    families.append({"name": family.name, "type": family.type, "help": family.documentation, "samples": samples})
print(json.dumps(families))
