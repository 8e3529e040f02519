#!/usr/bin/env python3
"""verbs.py GPUQ PLUGINS MISFITS - gpuq plugin check, build, inspect, run and test: results on standard output, one
sentence on standard error, documented exit codes."""
import difflib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile

GPUQ, PLUGINS, MISFITS = sys.argv[1:]
BACKEND = os.environ.setdefault("GPUQ_BACKEND", "cpu")  # cuda: what needs a device; the rest is the same anywhere
# On a GPU whoever knows first tells: the driver, or NVML.
DEATH = {"cpu": r"__trap\(\) was called", "cuda": r"(?:CUDA_ERROR_|stopped this worker's grids \(Xid )"}[BACKEND]
SHOWN = 300  # bytes of what came: the end of a log has to hold all failures
failures = []


def gpuq(*arguments, stdin=b"", **environment):
    return subprocess.run([GPUQ, "plugin", *arguments], input=stdin, capture_output=True, check=False,
                          env={**os.environ, **environment})


def expect(*arguments, code=0, out=None, err=None, stdin=b"", **environment):
    """`out` is exact when bytes, searched for when a pattern; `err` is a pattern; None is not looked at."""
    done = gpuq(*arguments, stdin=stdin, **environment)
    error = done.stderr.decode()
    good = done.returncode == code
    good = good and (out is None or (done.stdout == out if isinstance(out, bytes) else re.search(out, done.stdout.decode())))
    good = good and (err is None or re.search(err, error) is not None)
    if not good:
        failures.append(f"gpuq plugin {' '.join(arguments)}: exit {done.returncode}, expected {code}\n"
                        f"  out {done.stdout[-SHOWN:]!r}\n  err {error[-SHOWN:]!r}")
    return done


def check_usage():
    expect(code=64, err="check|build|inspect|pin|run|test")
    expect("tset", "x.cu", code=64, err="did you mean 'test'")
    expect("check", code=64, err="which plugin")
    expect("check", "a.cu", "b.cu", code=64, err="'b.cu' is one too many")
    expect("check", "upper.cu", "--frobnicate", code=64, err="unknown option '--frobnicate'")
    expect("check", "upper.cu", "--in", "-", code=64, err="--in goes with 'gpuq plugin run' only")
    expect("check", "upper.cu", "--backend", "gpu", code=64, err="auto, cuda or cpu")
    expect("run", "upper.cu", "--in", code=64, err="--in lacks its value")
    expect("run", "upper.cu", code=64, err="--in FILE")
    expect("run", "upper.cu", "--in", "-", "--index", "1", code=64, err="--index is for sources")
    expect("run", "counter.cu", "--in", "-", code=64, err="takes no message")
    expect("check", "upper.cu", "--param", "n=99999999999999999999", code=64, err="gpuq plugin: --param n: '99999999999999999999': the number is too large")
    for value in ("0", "-1", "x", "1.5", "99999999999999999999"):
        expect("run", "upper.cu", "--in", "-", "--repeat", value, code=64, err="--repeat takes a whole number")
    for value in ("x", "1x=2", "=2", "a b=2"):
        expect("check", "upper.cu", "--param", value, code=64, err="NAME=VALUE")
    for value in ("", "[1]", "a: b", "{", "&a b"):
        expect("check", "upper.cu", "--param", "x=" + value, code=64, err="no YAML scalar")
    expect("check", "grep.cu", "--param", "pattern=a", "--param", "pattern=b", code=64, err="given twice")


def check_files(folder):
    for verb in ("check", "build", "inspect", "test"):
        expect(verb, "nowhere.cu", code=65, err="nowhere.cu")
        expect(verb, folder, code=65, err=re.escape(folder))
    expect("run", "nowhere.cu", "--in", "-", code=65, err="nowhere.cu")
    expect("run", "upper.cu", "--in", "nowhere.txt", code=74, err="nowhere.txt")
    lonely = os.path.join(folder, "lonely.cu")
    shutil.copy("upper.cu", lonely)
    expect("test", lonely, code=65, err="lonely.golden.yaml")


def check_compiling(folder):
    broken = os.path.join(folder, "broken.cu")
    with open("upper.cu", encoding="utf-8") as good, open(broken, "w", encoding="utf-8") as file:
        file.write(good.read().replace("in.payload[i]", "in.paylaod[i]"))
    with open(broken, encoding="utf-8") as file:
        line = next(n for n, text in enumerate(file, 1) if "paylaod" in text)
    for verb in ("check", "build", "inspect"):
        expect(verb, broken, code=65, out=b"", err=rf"{re.escape(broken)}:{line}:\d+: error: .*paylaod(.|\n)*\^")
    expect("check", "upper.cu", out=b"ok    upper.cu\n", err=r"\A\Z")
    expect("check", "upper.cu", "--param", "shout=1", code=64, err="params.shout is no parameter of upper.cu")
    expect("run", "upper.cu", "--param", "shout=1", "--in", "-", code=64, err="params.shout")
    expect("test", "upper.cu", "--param", "shout=1", code=64, err="params.shout")
    no_gpu = {"GPUQ_LIBCUDA": "/nowhere"}
    expect("check", "upper.cu", "--backend", "cuda", code=69, err="no GPU says what to compile for .*--arch 90", **no_gpu)
    expect("check", "upper.cu", code=69, err="no GPU says what to compile for", GPUQ_BACKEND="cuda", **no_gpu)
    expect("check", "upper.cu", "--arch", "90", code=64, err="--arch goes with --backend cuda")
    expect("check", "upper.cu", "--backend", "cpu", "--arch", "90", code=64, err="--arch goes with --backend cuda")
    expect("run", "upper.cu", "--in", "-", "--arch", "90", code=64, err="--arch goes with 'gpuq plugin check, build or inspect'")
    for arch in ("0", "69", "sm_x", "1000", "9.0"):
        expect("check", "upper.cu", "--backend", "cuda", "--arch", arch, code=64, err="--arch takes a whole number from 70")
    for library in ("/nowhere/libnvrtc.so.13", "libnvrtc.so.1"):
        expect("check", "upper.cu", "--backend", "cuda", "--arch", "90", code=69, err="NVRTC 12 or 13 is needed.*GPUQ_NVRTC",
               GPUQ_NVRTC=library, GPUQ_CACHE="off")
    for verb in (("check",), ("run", "--in", "-"), ("test",)):
        expect(*verb, "upper.cu", code=64, err="GPUQ_BACKEND is 'gpu'", GPUQ_BACKEND="gpu")
    expect("check", "reduce.cu", "--param", "op=mean", code=65, err="params.op")
    image = os.path.join(folder, "upper.so")
    expect("build", "upper.cu", "-o", image, out=r"digest  [0-9a-f]{64}\nbytes   \d+\n")
    with open(image, "rb") as file:
        if file.read(4) != b"\x7fELF":
            failures.append("gpuq plugin build -o did not write a shared object")
    expect("build", "upper.cu", "-o", os.path.join(folder, "no", "such"), code=74, err="no/such")
    link = os.path.join(folder, "link.so")  # as /dev/stdout is one: what it leads to is written, and it stays
    os.symlink(os.path.join(folder, "linked.so"), link)
    expect("build", "upper.cu", "-o", link, out="written")
    if not os.path.islink(link) or os.path.getsize(link) != os.path.getsize(image):
        failures.append("gpuq plugin build -o put a file in the place of a link")
    fifo = os.path.join(folder, "fifo")
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDWR)
    with open(image, "rb") as file:
        os.set_blocking(reader, False)
        expect("build", "upper.cu", "-o", fifo, out="written")
        if not stat.S_ISFIFO(os.lstat(fifo).st_mode) or os.read(reader, 1 << 20) != file.read():
            failures.append("gpuq plugin build -o put a file in the place of a FIFO")
    os.close(reader)


def check_vectors_that_do_not_compile(folder):
    plugin = os.path.join(folder, "picky.cu")
    with open("echo.cu", encoding="utf-8") as echo, open(plugin, "w", encoding="utf-8") as file:
        file.write(echo.read() + 'static_assert(GQ_PARAM(n, 0) < 5, "n: below 5");\n')
    with open(os.path.join(folder, "picky.golden.yaml"), "w", encoding="utf-8") as file:
        file.write('- { name: small, in: a, out: a }\n- { name: large, in: a, params: { n: 7 }, out: a }\n')
    expect("test", plugin, code=65, err=r"\A\S*picky\.golden\.yaml:2: golden vector 'large', with its params:\n\S*picky\.cu:\d+:\d+: error: .*n: below 5")


def check_inspecting():
    expect("inspect", "sha256.cu", out=r"kind    stage\nscope   thread \(1 thread serves a message\)\nstate   none\n")
    expect("inspect", "reduce.cu", out=r"scope   block \(128 threads serve a message\)")
    expect("inspect", "counter.cu", out=r"kind    source")
    expect("inspect", os.path.join(MISFITS, "stateful.cu"), out=r"state   4 bytes, version 3")
    facts = json.loads(expect("inspect", "--json", "grep.cu").stdout)
    names = [p["name"] for p in facts["params"]]
    if names != ["ignore_case", "pattern", "invert"] or facts["params"][0]["default"] != "false":
        failures.append(f"gpuq plugin inspect --json grep.cu: params {facts['params']}")


SPILLS = """#include <gpuqueue/plugin.h>
__device__ void process_message(const MsgView &in, ResultView *out)
{
    uint32_t a[400], sum = 0;
#pragma unroll
    for (int i = 0; i < 400; i++)
        a[i] = in.payload[i] * i;
#pragma unroll
    for (int i = 0; i < 400; i++)
        a[i] ^= a[(i * 7 + 3) % 400] + a[i * 13 % 400];
#pragma unroll
    for (int i = 0; i < 400; i++)
        sum += out->out[i] = a[i];
    *out->out_len = sum;
}
"""


def check_cubins(folder):
    """What NVRTC makes, without a GPU; nothing to check where there is no NVRTC."""
    cuda = ("--backend", "cuda", "--arch", "90")
    if gpuq("check", "echo.cu", *cuda).returncode == 69:
        print("no NVRTC here: cubins are not checked")
        return
    expect("check", "upper.cu", *cuda, out=b"ok    upper.cu\n", err=r"\A\Z")
    expect("check", "upper.cu", "--backend", "cuda", "--arch", "sm_80", out=b"ok    upper.cu\n", err=r"\A\Z")
    expect("check", "upper.cu", "--backend", "cuda", "--arch", "998", code=69, err=r"compiles for sm_\d+ to sm_\d+ and not for sm_998")
    cubin = os.path.join(folder, "upper.cubin")
    expect("build", "upper.cu", *cuda, "-o", cubin, out=r"backend cuda \(sm_90\)\ndigest  [0-9a-f]{64}\nbytes   \d+\n")
    with open(cubin, "rb") as file:
        if file.read(20)[18] != 190:
            failures.append("gpuq plugin build --backend cuda -o did not write a cubin")
    expect("inspect", "reduce.cu", *cuda, out=r"kind    stage\nscope   block \(128 threads(.|\n)*backend cuda \(sm_90\)(.|\n)*"
           r"takes   \d+ registers and \d+ bytes of stack a thread, \d+ bytes of shared memory a block\nspills  none\n")
    expect("inspect", "counter.cu", *cuda, out=r"kind    source")
    expect("inspect", os.path.join(MISFITS, "stateful.cu"), *cuda, out=r"state   4 bytes, version 3")
    spills = os.path.join(folder, "spills.cu")
    with open(spills, "w", encoding="utf-8") as file:
        file.write(SPILLS)
    for _ in ("compiled", "from the cache"):
        facts = json.loads(expect("inspect", "--json", spills, *cuda).stdout)
        if facts["registers"] != 255 or not facts["spill_store_bytes"] or not facts["spill_load_bytes"] or not facts["stack_bytes"]:
            failures.append(f"gpuq plugin inspect --json spills.cu: {facts}")


def check_machine_code():
    """PTX and cubins, and the ways in which a plugin meets the template. No device is needed."""
    cuda = ("--backend", "cuda", "--arch", "90")
    expect("check", "rot13.ptx", "--backend", "cpu", code=65, err=r"rot13\.ptx is PTX, machine code for a GPU, which the CPU backend")
    expect("check", "hex.cubin", "--backend", "cuda", "--arch", "80", code=65, err=r"hex\.cubin is a cubin for sm_90 and the device is sm_80")
    expect("check", "echo.cu", *cuda, code=64, err="GPUQ_LINK is 'both'; expected linked or whole", GPUQ_LINK="both", GPUQ_CACHE="off")
    expect("check", "rot13.ptx", *cuda, code=69, err="nvJitLink 12 or 13 is needed.*GPUQ_NVJITLINK", GPUQ_NVJITLINK="/nowhere/x.so")
    if gpuq("check", "rot13.ptx", *cuda).returncode == 69:
        print("no nvJitLink here: what is linked is not checked")
        return
    expect("check", "rot13.ptx", *cuda, "--param", "by=3", code=64, err="params.by .*PTX and cubins keep the values they were compiled with")
    expect("check", "upper.cu", *cuda, out=b"ok    upper.cu\n", GPUQ_NVJITLINK="/nowhere/x.so", GPUQ_CACHE="off")
    expect("check", "upper.cu", *cuda, code=69, err="nvJitLink", GPUQ_NVJITLINK="/nowhere/x.so", GPUQ_LINK="linked", GPUQ_CACHE="off")
    expect("check", "rot13.ptx", "--param", "x=1", *cuda, code=64, err="params.x is no parameter of rot13.ptx")
    expect("inspect", "rot13.ptx", *cuda, out=r"ABI     1\nbackend cuda(.|\n)*origin  PTX\n")
    expect("inspect", "hex.cubin", *cuda, out=r"scope   warp(.|\n)*origin  cubin\n")
    apart, whole = (json.loads(expect("inspect", "--json", "hex.cu", *cuda, GPUQ_LINK=link).stdout) for link in ("linked", "whole"))
    if apart["digest"] == whole["digest"] or any(apart[k] != whole[k] for k in ("scope", "threads", "abi", "kind", "origin", "state_bytes")):
        failures.append(f"linked and whole are not the same plugin: {apart} {whole}")


def check_running(folder):
    digest = b"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    expect("run", "sha256.cu", "--in", "-", stdin=b"hello", out=digest, err=r"\A\Z")
    expect("run", "sha256.cu", "--in", "-", "--param", "uppercase=true", stdin=b"hello", out=digest.upper())
    expect("run", "sha256.cu", "--in", "-", "--repeat", "1000", stdin=b"hello", out=digest, err=r"1000 runs, mean \S+ [nu]s")
    expect("run", "sha256.cu", "--in", "-", "--slot-bytes", "63", stdin=b"hello", code=1, out=b"", err="overflow")
    expect("run", "upper.cu", "--in", "-", "--slot-bytes", "4", stdin=b"hello", code=64, out=b"")
    expect("run", "echo.cu", "--in", "-", out=b"")
    every_byte = os.path.join(folder, "bytes")
    with open(every_byte, "wb") as file:
        file.write(bytes(range(256)) * 300)
    expect("run", "echo.cu", "--in", every_byte, out=bytes(range(256)) * 300)
    expect("run", "grep.cu", "--in", "-", "--param", "pattern=z", stdin=b"hello", out=b"", err="dropped")
    expect("run", "grep.cu", "--in", "-", "--param", "pattern=z", "--repeat", "5000", stdin=b"hello", err="5000 runs")
    expect("run", "grep.cu", "--in", "-", "--param", "pattern='12'", stdin=b"a12", out=b"a12")
    expect("run", "grep.cu", "--in", "-", "--param", "pattern=${HOME}", stdin=b"a${HOME}", out=b"a${HOME}")
    expect("run", "reduce.cu", "--in", "-", "--param", "word=4", stdin=b"hello", code=1, err="failed with code 1")
    expect("run", "counter.cu", "--index", "41", out=b"41")
    expect("run", "counter.cu", "--index", "41", "--repeat", "100", out=b"41", err="100 runs")
    expect("run", os.path.join(MISFITS, "misfit.cu"), "--in", "-", stdin=b"abc", code=1, out=b"",
           err=DEATH + (".*'misfit'" if BACKEND == "cpu" else ""))
    expect("run", os.path.join(MISFITS, "endless.cu"), "--in", "-", "--timeout", "1", code=1, err="did not end within 1 s")


MISFIT_OUT = """\
ok    as it should be
FAIL  ends the worker (misfit.golden.yaml:2)
      DEATH
ok    another worker serves the next
FAIL  far inside (misfit.golden.yaml:4)
      expected 200 bytes, from byte 4 on "4567890123456789012345678901234567890123456789012345678901234567"...
      got      200 bytes, from byte 4 on "4567890123456789!12345678901234567890123456789012345678901234567"...
      first difference at byte 20: expected 0x30, got 0x21
FAIL  too short (misfit.golden.yaml:5)
      expected 5 bytes, "01234"
      got      4 bytes, "0123"
      the same up to byte 4, where the actual one ends
FAIL  too long (misfit.golden.yaml:6)
      expected 3 bytes, "012"
      got      4 bytes, "0123"
      the same up to byte 3, where the expected one ends
FAIL  binary (misfit.golden.yaml:7)
      expected 4 bytes, hex 00ff0103
      got      4 bytes, hex 00ff0102
      first difference at byte 3: expected 0x03, got 0x02
FAIL  not dropped (misfit.golden.yaml:8)
      expected dropped
      got      16 bytes, "tab\\tand \\"quotes\\""
FAIL  not failed (misfit.golden.yaml:9)
      expected failed with code 7
      got      0 bytes
FAIL  not too long (misfit.golden.yaml:10)
      expected overflow: the plugin reported more bytes than its buffer holds
      got      0 bytes
misfit.cu: 2 of 10 vectors pass (BACKEND)
"""


def check_testing():
    os.chdir(MISFITS)
    done = expect("test", "misfit.cu", code=65, err=r"\A\Z")
    text = re.sub(rf"^( +).*{DEATH}.*", r"\1DEATH", done.stdout.decode(), flags=re.M)
    text = re.sub(r"\(%s.*\)$" % BACKEND, "(BACKEND)", text, flags=re.M)
    if text != MISFIT_OUT:
        differences = difflib.unified_diff(MISFIT_OUT.splitlines(), text.splitlines(), "expected", "came", n=0, lineterm="")
        failures.append("\n  ".join(["gpuq plugin test misfit.cu:", *differences]))
    report = json.loads(expect("test", "--json", "misfit.cu", code=65).stdout)
    if (report["passed"], report["failed"], len(report["vectors"])) != (2, 8, 10):
        failures.append(f"gpuq plugin test --json misfit.cu: {[(v['name'], v['passed']) for v in report['vectors']]}")
    for verb, file, code in (("test", "none.cu", 65), ("inspect", "none.cu", 65), ("test", "../../plugins/drops_odd.cu", 65)):
        answer = json.loads(expect(verb, "--json", file, code=code, err=r"\Agpuq").stdout or b"{}")
        if answer.get("exit_code") != code or answer.get("status") != "GQ_ERR_PLUGIN" or file not in answer.get("error", ""):
            failures.append(f"gpuq plugin {verb} --json {file}: {answer}")
    expect("test", "stateful.cu", out="4 of 4 vectors pass")
    expect("test", "endless.cu", "--timeout", "1", code=65, out="did not end within 1 s(.|\n)*ok    ends")
    expect("test", "misfit.cu", "--backend", "cuda", code=69, err="cuda", GPUQ_LIBCUDA="/nowhere")


def main():
    os.chdir(PLUGINS)
    with tempfile.TemporaryDirectory() as folder:
        check_usage()
        check_files(folder)
        if BACKEND == "cpu":
            check_compiling(folder)
            check_vectors_that_do_not_compile(folder)
            check_inspecting()
            check_cubins(folder)
        check_machine_code()
        check_running(folder)
        check_testing()
    print("\n".join(failures) or "every call did what it promises")
    sys.exit(bool(failures))


main()
