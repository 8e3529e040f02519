#!/usr/bin/env python3
"""guide.py GPUQ GUIDE.md - the commands that a guide shows print what it shows.

A block ```LANGUAGE NAME becomes the file NAME; in a block ```console each "$ command" is run in one shell for the whole
page, "> " begins each further line of a command, and the lines below it are its output. "..." in such a line stands for
anything, a line "..." for any lines. What a page starts in the background ends with it."""
import os
import re
import signal
import subprocess
import sys
import tempfile

BLOCK = re.compile(r"^```(\S+)(?: (\S+))?\n(.*?)^```$", re.S | re.M)
MARK = "--- end of a command ---"


class Shell:
    def __init__(self, folder, gpuq):
        path = os.path.dirname(os.path.abspath(gpuq)) + os.pathsep + os.environ["PATH"]
        sockets = os.path.join(folder, "sockets")
        os.mkdir(sockets)
        self.process = subprocess.Popen(["sh"], cwd=os.path.join(folder, "page"), start_new_session=True,
                                        env={**os.environ, "PATH": path, "GPUQ_BACKEND": "cpu", "XDG_RUNTIME_DIR": sockets, "TMPDIR": sockets},
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def end(self):
        """The shell, and whatever a failed page left running."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def run(self, command):
        self.process.stdin.write(f"{command}\nprintf '\\n%s\\n' '{MARK}'\n".encode())
        self.process.stdin.flush()
        lines = []
        for line in iter(self.process.stdout.readline, b""):
            if line.decode().rstrip("\n") == MARK:
                return "".join(lines).rstrip("\n")
            lines.append(line.decode())
        sys.exit(f"the shell ended at: {command}")

    def folder(self):
        return self.run("pwd")


def pattern(expected):
    """The lines of a page as a regular expression."""
    parts = []
    for line in expected:
        if line == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*".join(re.escape(piece) for piece in line.split("...")) + r"\n")
    return "".join(parts)


def commands(text):
    """(command, lines of output) of a console block."""
    found = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.startswith(">") and not found[-1][1]:
            found[-1] = (found[-1][0] + "\n" + line[2:], [])
        else:
            found[-1][1].append(line)
    return found


def main():
    gpuq, guide = sys.argv[1:]
    with open(guide, encoding="utf-8") as file:
        page = file.read()
    ran = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "page"))
        shell = Shell(folder, gpuq)
        for language, name, text in BLOCK.findall(page):
            if name:
                with open(os.path.join(shell.folder(), name), "w", encoding="utf-8") as file:
                    file.write(text)
            for command, expected in commands(text) if language == "console" else []:
                output = shell.run(command)
                ran += 1
                if not re.fullmatch(pattern(expected), output + "\n" if output else ""):
                    failed += 1
                    print(f"$ {command}\nexpected:\n" + "\n".join(expected) + f"\ngot:\n{output}\n")
        shell.end()
    print(f"{ran} commands of {os.path.basename(guide)}, {failed} with other output")
    sys.exit(failed > 0 or ran == 0)


main()
