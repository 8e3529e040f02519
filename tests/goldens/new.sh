#!/bin/sh
# What `gpuq new` writes passes its own goldens and runs, whichever kind it is; what is there already is left alone.
# new.sh GPUQ
set -u
gpuq=$1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

fail() {
    echo "FAIL: $*"
    exit 1
}

try() { # NAME EXPECTED-OUTPUT [OPTION]: writes it, tests every plugin in it, runs its pipeline
    name=$1 expected=$2
    shift 2
    "$gpuq" new "$@" "$name" >files.txt 2>err.txt || fail "gpuq new $* $name"
    while read -r file; do
        [ -s "$file" ] || fail "$file is not there, or empty"
        grep -q '@NAME@' "$file" && fail "$file has a blank left"
    done <files.txt
    (
        cd "$name" || exit 1
        for plugin in *.cu; do
            "$gpuq" plugin test "$plugin" || exit 1
        done
        "$gpuq" run pipeline.yaml
    ) >out.txt 2>err.txt || fail "$name: $(cat out.txt err.txt)"
    grep -v -e '^ok ' -e ' vectors pass ' out.txt >results.txt
    printf '%b' "$expected" | diff -u - results.txt || fail "$name printed something else"
}

refuse() { # ARGUMENTS...: exit 64, one sentence, nothing written
    before=$(ls)
    code=0
    "$gpuq" new "$@" >out.txt 2>err.txt || code=$?
    [ "$code" -eq 64 ] || fail "gpuq new $* did not exit with 64"
    [ -s out.txt ] && fail "gpuq new $* printed something although it refused"
    [ "$(wc -l <err.txt)" -eq 1 ] || fail "gpuq new $* is not refused in one sentence"
    rm -f out.txt err.txt
    [ "$before" = "$(ls)" ] || fail "gpuq new $* left something behind"
}

try plain 'Hello, world!\nEach line is a message.\n'
try by-block '0\n1\n2\n' --block
try makes_them 'message 0\nmessage 1\nmessage 2\nmessage 3\nmessage 4\n' --source
rm -f out.txt err.txt files.txt results.txt

echo mine >plain/plain.cu
refuse plain
[ "$(cat plain/plain.cu)" = mine ] || fail "an existing plugin was overwritten"
: >a_file
refuse a_file
refuse
refuse ''
refuse 1x
refuse -- -x
refuse a/b
refuse ../x
refuse 'a b'
refuse "a'b"
refuse .hidden
refuse one two
refuse --bogus x
refuse --block --source x
refuse --source pass
refuse "$(printf '%065d' 0 | tr 0 a)"
