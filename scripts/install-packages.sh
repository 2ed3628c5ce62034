#!/bin/sh
# install-packages.sh debian [LIST]|npm: gets what the build needs, or the packages that the file LIST
# names, and only if it is not there yet.
# Nothing that is installed is ever removed (apt-get --no-remove); what a package depends on may be
# brought up to date.
set -eu
cd "$(dirname "$0")/.."

list=${2:-native/debian-packages.txt}

# missing_debian_packages PATTERN: those of the lines that match.
missing_debian_packages() {
  sed -e 's/#.*//' "$list" | grep "$1" | tr -d '? \t' | while read -r package; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=absent
    [ "$state" = installed ] || echo "$package"
  done
}

install_debian() {
  [ -f "$list" ] || return 0
  if ! command -v dpkg-query >/dev/null; then
    echo "Debian packages … not a Debian machine: install what $list names"
    return 0
  fi
  [ -n "$(missing_debian_packages '^[^?]')" ] || return 0
  # One line of names.
  missing=$(missing_debian_packages . | tr '\n' ' ')
  missing=${missing% }
  if [ "$(id -u)" -ne 0 ]; then
    echo "Debian packages … missing: $missing" >&2
    echo "    run as root: apt-get install -y --no-remove $missing" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086 # a list of names
  scripts/step.sh "Debian packages ($missing)" \
    sh -c 'apt-get update && apt-get -o DPkg::Lock::Timeout=300 install -y --no-remove \
      --no-install-recommends "$@"' sh $missing
}

install_npm() {
  if ! command -v npm >/dev/null; then
    echo "npm packages … npm is missing: install Node 18 or newer with npm" >&2
    exit 1
  fi
  wanted=$(sha256sum package-lock.json | cut -d ' ' -f 1)
  [ "$wanted" != "$(cat node_modules/.varve-lock 2>/dev/null)" ] || return 0
  # The marker is written last, so an interrupted installation is done again.
  scripts/step.sh 'npm packages' npm ci --no-progress --loglevel=error
  echo "$wanted" >node_modules/.varve-lock
}

case ${1:-} in
  debian) install_debian ;;
  npm) install_npm ;;
  *)
    echo "usage: install-packages.sh debian [LIST]|npm" >&2
    exit 2
    ;;
esac
