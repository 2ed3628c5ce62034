#!/bin/busybox sh
# The first process of the virtual machine: loads the modules and makes the root, which is that of the
# machine outside, read-only, under a memory file system that takes what is written.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod "$module"; done </modules/order

nine=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o ro,cache=loose,noxattr,$nine root /host || poweroff -f
mount -t tmpfs -o mode=755,size=90% upper /upper
mkdir /upper/files /upper/work
mount -t overlay -o lowerdir=/host,upperdir=/upper/files,workdir=/upper/work root /root || poweroff -f

. /varve/parameters
for folder in dev proc sys; do mount --move /$folder /root/$folder; done
mount -t tmpfs -o mode=755 run /root/run
mkdir -p /root/run/varve-vm /root/run/lock /root/scratch /root/etc/target
cp -r /varve/* /root/run/varve-vm/
mkdir -p "/root/lib/modules/$kernel_version"
mount -o bind "/root$module_directory" "/root/lib/modules/$kernel_version"
ifconfig lo 127.0.0.1 up
hostname varve-vm
exec switch_root /root /bin/bash "$main_script"
