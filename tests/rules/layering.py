#!/usr/bin/env python3
"""Which room may include what. runtime/README.md draws the same table."""
import re
import tree

# A room may include itself and these.
ROOMS = {
    "base": set(),
    "config": {"base"},
    "device": set(),
    "ring": {"device", "base"},
    "build": {"config", "device", "base"},
    "backend": {"device", "ring", "base"},
    "worker": {"backend", "build", "device", "ring", "base"},
    "connect": {"config", "base"},
    "pipeline": {"ring", "build", "config", "connect", "device", "base"},
    "api": {"pipeline", "ring", "build", "config", "connect", "device", "base"},
    "control": {"pipeline", "ring", "build", "config", "connect", "device", "base"},
}
# Headers behind a wall, and the only files that may include them.
WALLS = {
    "yaml.h": {"runtime/config/yaml.c"},
    "dlfcn.h": {"runtime/base/dl.c"},
    "openssl/": {"runtime/base/digest.c"},
    "cuda.h": {"runtime/backend/cuda_driver.h"},
    "nvrtc.h": {"runtime/build/nvrtc.c"},
    "hiredis/": {"runtime/connect/redis.c"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.M)


def wall_finding(path, line, quote, name):
    if quote != "<":
        return None
    for wall, allowed in WALLS.items():
        if (name == wall or (wall.endswith("/") and name.startswith(wall))) and path not in allowed:
            return f"{path}:{line}: <{name}> stays behind its wall; call what {' or '.join(sorted(allowed))} offers instead"
    return None


def room_finding(path, line, room, quote, name):
    other = name.split("/")[0]
    if quote != '"' or "/" not in name or other not in ROOMS or other == room or other in ROOMS[room]:
        return None
    allowed = ", ".join(sorted(ROOMS[room])) or "no other room"
    return f'{path}:{line}: room {room} may include {allowed}, not "{name}"; move the code, or pass the value down as an argument'


def findings_in(path):
    text = tree.read(path)
    room = path.split("/")[1]
    for match in INCLUDE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        quote, name = match.groups()
        found = wall_finding(path, line, quote, name)
        if found is None and path.startswith("runtime/") and room in ROOMS:
            found = room_finding(path, line, room, quote, name)
        if found:
            yield found


def main():
    paths = tree.files("runtime", "tools/gpuq", "tools/bench", "include", endings=(".c", ".h", ".cu", ".S"))
    tree.finish([f for path in paths for f in findings_in(path)], len(paths))


main()
