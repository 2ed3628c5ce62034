#!/bin/sh
# build-native.sh [-s SANITIZERS] [TARGET...]: builds native/ into build/native (with sanitizers into
# a folder named after them); without targets only what varve itself needs.
set -eu
cd -P "$(dirname "$0")/.."

sanitizers=
if [ "${1:-}" = -s ]; then
  sanitizers=$2
  shift 2
fi
folder=build/native${sanitizers:+-$(echo "$sanitizers" | tr ',' '-')}
[ $# -gt 0 ] || set -- varve_sys varve-helper varve-layer varve-bd varve-bd-holder

# A checkout that was moved or copied brings a folder that builds from where it was before.
cache=$folder/CMakeCache.txt
if [ -f "$cache" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD/native" "$cache"; then
  rm -rf "$folder"
fi

# What one checkout has compiled serves every other: paths within it count from its own folder.
export CCACHE_BASEDIR="$PWD" CCACHE_NOHASHDIR=1

# CMake runs again by itself when its own files change.
if [ ! -f "$folder/build.ninja" ]; then
  scripts/step.sh "configure $folder" \
    cmake -S native -B "$folder" -G Ninja -DVARVE_SANITIZE="$sanitizers"
fi
scripts/step.sh "build $folder" cmake --build "$folder" --target "$@"
