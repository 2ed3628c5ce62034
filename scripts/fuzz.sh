#!/bin/sh
# fuzz.sh [SECONDS [TARGET...]]: builds native/fuzz with clang's libFuzzer and sanitizers, and runs
# each target for so long (60 s) on the corpus in test/fixtures/fuzz. What it finds is kept in
# build/fuzz/TARGET; an input that fails lies beside it, and the exit status is 1.
set -u
cd -P "$(dirname "$0")/.." || exit 2

seconds=${1:-60}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- $(ls test/fixtures/fuzz)

for program in clang++-14 clang++; do
  command -v "$program" >/dev/null && break
done
if ! command -v "$program" >/dev/null; then
  echo "fuzz … clang++ is missing: apt-get install --no-remove clang-14 libclang-rt-14-dev" >&2
  exit 2
fi

targets=
for target in "$@"; do targets="$targets varve-fuzz-$target"; done
# shellcheck disable=SC2086 # a list of names
CXX=$program scripts/build-native.sh -s fuzzer-no-link,address,undefined $targets || exit 1

status=0
for target in "$@"; do
  found=build/fuzz/$target
  mkdir -p "$found"
  # Twice the largest golden input; no input may cost more memory or time than this.
  scripts/step.sh "fuzz $target" build/native-fuzzer-no-link-address-undefined/varve-fuzz-"$target" \
    -max_total_time="$seconds" -max_len=131072 -malloc_limit_mb=256 -rss_limit_mb=1024 -timeout=10 \
    -artifact_prefix="$found-" -print_final_stats=1 \
    "$found" "test/fixtures/fuzz/$target" || status=1
done
exit $status
