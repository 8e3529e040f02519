#!/usr/bin/env python3
"""What the code does without, and what to use instead."""
import re
import tree

ASSERT = "runtime/base/assert.c"
WORKER_MAIN = "runtime/worker/main.c"
SHIM = "runtime/device/cpu"  # declares to plugins what CUDA gives them: printf, assert
# pattern, where (path prefixes), paths that may (prefixes), what to do instead
FORBIDDEN = [
    (r"\b(printf|puts|putchar|perror|vprintf)\s*\(", ("runtime/",), {SHIM}, "a library does not print: use gq_error_set(), or let the tool print"),
    (r"\b(std(out|err))\b", ("runtime/",), {ASSERT, WORKER_MAIN, SHIM}, "a library does not print: return a status with its sentence"),
    (r"\b(exit|_Exit|quick_exit)\s*\(", ("runtime/",), {WORKER_MAIN}, "return a gq_status; only programs end themselves"),
    (r"\babort\s*\(", ("runtime/", "tools/gpuq/"), {ASSERT}, "use gq_assert() for our bugs, a gq_status for the rest"),
    (r"\bassert\s*\(", ("runtime/", "tools/gpuq/"), {SHIM}, "use gq_assert(): it stays on in release builds"),
    (r"\b(system|popen)\s*\(", ("runtime/", "tools/gpuq/"), set(), "start programs with gq_process_start() or posix_spawn(), without a shell"),
    (r"\b(execl|execlp|execle|execvp|execvpe|wordexp)\s*\(", ("runtime/", "tools/gpuq/"), set(), "start programs with gq_process_start() or posix_spawn(), with a list of arguments"),
    (r"\b(strcpy|strcat|sprintf|vsprintf|gets)\s*\(", ("runtime/", "tools/", "include/"), set(), "use snprintf() or struct gq_text, which know the size"),
    (r"\b(atoi|atol|atoll|atof)\s*\(", ("runtime/", "tools/", "include/"), set(), "use strtoull() or strtod() and check where it stopped"),
    (r"\b(strtok|asctime|ctime|localtime|gmtime|strerror_l|tmpnam|mktemp)\s*\(", ("runtime/", "tools/"), set(), "use the reentrant variant: the library is called from any thread"),
]
# In literals of programs that start others.
LITERALS = [
    (r'"(/usr)?/bin/(sh|bash|dash)"|"(sh|dash)"|"-c"', ("runtime/", "tools/gpuq/"), "no shell reads what we start: give the program and its arguments"),
]
EVERYWHERE = [
    (r"\b(TODO|FIXME|XXX)\b", "do it now, or open an issue; code does not keep notes to itself"),
    (r"\b_exit\s*\(77\)", "Check takes it for an error, on the machines that lack something: leave out what cannot run there, or skip in main()"),
    (r"^(<{7}|>{7}) ", "a merge was left half done; choose a side"),
]
GLOB = r"file\s*\(\s*GLOB|aux_source_directory"


def places(pattern, text):
    for match in re.finditer(pattern, text, re.M):
        yield text.count("\n", 0, match.start()) + 1, match.group(0).strip()


def code_findings(path):
    code = tree.code_only(tree.read(path))
    for pattern, prefixes, allowed, fix in FORBIDDEN:
        if path.startswith(prefixes) and not path.startswith(tuple(allowed) or "-"):
            for line, word in places(pattern, code):
                yield f"{path}:{line}: '{word}': {fix}"


def text_findings(path):
    text = tree.read(path)
    for pattern, prefixes, fix in LITERALS:
        if path.startswith(prefixes) and path.endswith((".c", ".h")):
            for line, word in places(pattern, text):
                yield f"{path}:{line}: '{word}': {fix}"
    for pattern, fix in EVERYWHERE:
        for line, word in places(pattern, text):
            yield f"{path}:{line}: '{word}': {fix}"
    if path.endswith((".cmake", "CMakeLists.txt")):
        for line, word in places(GLOB, text):
            yield f"{path}:{line}: '{word}': list the files; the list is the table of contents"


def main():
    code = tree.files("runtime", "tools", "include", endings=(".c", ".h", ".cc", ".cpp"))
    text = [p for p in tree.files(endings=(".c", ".h", ".cu", ".cc", ".cpp", ".py", ".sh", ".cmake", "CMakeLists.txt", ".S", ".md"))
            if p != "tests/rules/tokens.py"]
    found = [f for path in code for f in code_findings(path)] + [f for path in text for f in text_findings(path)]
    tree.finish(found, len(text))


main()
