#!/bin/sh
# step.sh NAME COMMAND...: runs one step of the build quietly and says in one line how it went.
# Output goes to build/log/NAME.log; of a step that fails its end is shown.
set -u
name=$1
shift
checkout=$(CDPATH='' cd -P "$(dirname "$0")/.." && pwd)
mkdir -p "$checkout/build/log"
log=$checkout/build/log/$(printf %s "$name" | tr -c 'A-Za-z0-9' '-' | cut -c 1-40).log

printf '%s … ' "$name"
begin=$(date +%s)
"$@" >"$log" 2>&1 </dev/null
status=$?
elapsed=$(($(date +%s) - begin))
if [ $status -eq 0 ]; then
  echo "ok ${elapsed} s"
  exit 0
fi
echo "FAILED after ${elapsed} s (exit status $status)"
tail -n 40 "$log" | awk '{ print "    " $0 }'
echo "    whole log: $log"
exit $status
