#!/bin/sh
# ctest.sh FOLDER [OPTION...]: runs the tests of one native build, then says why those were skipped
# that were: ctest keeps that to its own log.
set -u
folder=$1
shift
ctest --test-dir "$folder" --output-on-failure --no-tests=error --parallel 2 "$@"
status=$?
awk '
  / Skipped$/ { getline reason }
  /^\[  SKIPPED \] .*\([0-9]+ ms\)$/ { print "skipped " $4 ": " reason }
' "$folder/Testing/Temporary/LastTest.log"
exit $status
