#!/usr/bin/env python3
"""Every relative link of a Markdown page leads to a file, and every page under docs/ is reached from README.md."""
import os
import re
import tree

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"```.*?```", re.S)


def links(path):
    for target in LINK.findall(FENCE.sub("", tree.read(path))):
        if not re.match(r"[a-z]+:|#", target):
            yield os.path.normpath(os.path.join(os.path.dirname(path), target.split("#")[0]))


def main():
    pages = [p for p in tree.files(endings=(".md",)) if not p.startswith("tests/")]
    found, reached, waiting = [], set(), ["README.md"]
    for page in pages:
        found += [f"{page}: links to {t}, which does not exist; correct the link" for t in links(page)
                  if not os.path.exists(os.path.join(tree.ROOT, t))]
    while waiting:
        page = waiting.pop()
        if page not in reached and page in pages:
            reached.add(page)
            waiting += links(page)
    found += [f"{p}: no page leads here from README.md; add it to docs/README.md" for p in pages
              if p.startswith("docs/") and p not in reached]
    tree.finish(found, len(pages))


main()
