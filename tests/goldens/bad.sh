#!/bin/sh
# Every bad golden file gets exactly the errors that its .expected names, and exit code 65.
# bad.sh GPUQ FOLDER PLUGIN.cu [--write]: --write makes the .expected files anew, to be read before they are kept.
set -u
gpuq=$1 folder=$2 plugin=$3 write=${4-}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0 files=0
for golden in "$folder"/*.golden.yaml; do
    name=$(basename "$golden" .golden.yaml)
    cp "$golden" "$name.golden.yaml" && cp "$plugin" "$name.cu" || exit 1
    "$gpuq" plugin test "$name.cu" >"$name.out" 2>&1
    echo "exit $?" >>"$name.out"
    [ "$write" = --write ] && cp "$name.out" "$folder/$name.expected"
    diff -u "$folder/$name.expected" "$name.out" || failed=$((failed + 1))
    files=$((files + 1))
done
echo "$files bad golden files, $failed with other errors than expected"
[ "$failed" -eq 0 ] && [ "$files" -gt 0 ]
