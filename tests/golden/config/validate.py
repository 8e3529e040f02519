#!/usr/bin/env python3
"""validate.py GPUQ - what `gpuq schema` prints is a schema, accepts every good file and refuses what a schema can see.

A schema sees one key at a time: files, variables, and what depends on two keys are for `gpuq lint`. Exit code 77 when
this machine has no validator.
"""
import json
import os
import subprocess
import sys

try:
    import jsonschema
    import yaml
    Validator = jsonschema.Draft202012Validator
except (ImportError, AttributeError):
    print("skipped: python3 has no jsonschema (with draft 2020-12) or no yaml")
    sys.exit(77)


class Editor(yaml.SafeLoader):
    """To an editor, which reads YAML 1.2, `on` and `off` are words."""


Editor.yaml_implicit_resolvers = {
    letter: [r for r in resolvers if r[0] != "tag:yaml.org,2002:bool" or letter in "tTfF"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}
HERE = os.path.dirname(os.path.abspath(__file__))
REFUSED = """bad_capacity bad_capacity_bounds bad_capacity_one bad_capacity_three bad_empty_choice bad_kinds bad_many_stages
bad_missing_all bad_missing_keys bad_names bad_no_stages bad_numbers bad_quoted_number bad_quoted_threads bad_root_list bad_root_scalar
bad_stage_kinds bad_swap bad_swap_2 bad_trust_word bad_two_sources bad_units bad_units_2 bad_unknown_keys bad_unknown_source bad_version bad_version_quoted
bad_words""".split()


def as_editors_see(value):
    """The key `null` is a word to an editor, and None to this parser."""
    if isinstance(value, dict):
        return {"null" if k is None else k: as_editors_see(v) for k, v in value.items()}
    return [as_editors_see(v) for v in value] if isinstance(value, list) else value


def findings(validator, name):
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        value = as_editors_see(yaml.load(file, Editor))
    errors = [f"{name}: {e.json_path}: {e.message}" for e in validator.iter_errors(value)]
    if name.startswith("good_"):
        return errors
    return [] if errors else [f"{name}: the schema accepts it"]


def main():
    schema = json.loads(subprocess.run([sys.argv[1], "schema"], capture_output=True, check=True).stdout)
    Validator.check_schema(schema)
    good = sorted(n for n in os.listdir(HERE) if n.startswith("good_") and n.endswith(".yaml"))
    names = good + [n + ".yaml" for n in REFUSED]
    found = [f for n in names for f in findings(Validator(schema), n)]
    print("\n".join(found + [f"{len(names)} files, {len(found)} not as expected"]))
    sys.exit(1 if found or not good else 0)


main()
