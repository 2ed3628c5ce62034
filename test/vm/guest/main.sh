#!/bin/bash
# The first process once the root is there: prepares what programs expect of a system, runs the script
# and tells how it ended. Output goes to ports of the machine; each ends with $end_mark.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
. /run/varve-vm/parameters
for port in /sys/class/virtio-ports/*; do
  case $(cat "$port/name") in
    stdout) exec 10>"/dev/${port##*/}" ;;
    stderr) exec 11>"/dev/${port##*/}" ;;
    status) exec 12>"/dev/${port##*/}" ;;
  esac
done

mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t configfs configfs /sys/kernel/config
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
# Not on the root's overlay, which cannot hold all that other file systems can.
if [[ -b /dev/vda ]]; then mount -o noatime,discard /dev/vda /scratch
else mount -t tmpfs -o mode=1777,size=90% scratch /scratch; fi
mkdir -p /scratch/tmp
export TMPDIR=/scratch/tmp
ulimit -n 65536

setsid bash /run/varve-vm/script </dev/null >&10 2>&11 10>&- 11>&- 12>&-
status=$?
# Whoever started the machine ends it: a device that nobody serves would hang an orderly end.
printf %s "$end_mark" >&10
printf %s "$end_mark" >&11
echo "$status" >&12
sync &
sleep infinity
