#!/bin/sh
# Turns a Debian into the root of an image of ours: Python and what a person at a shell needs, nothing that
# installs or compiles software, no setuid program. Run in the build's first stage; see operator/Dockerfile.
# $1: modules that must be importable in the end.
set -eu
LIBRARIES=/usr/lib/x86_64-linux-gnu

if ! command -v python3 >/dev/null; then
  apt-get update
  apt-get install -y --no-install-recommends python3 ca-certificates
fi
PYTHON=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')

echo 'bulkhead:x:65532:65532:Bulkhead:/nonexistent:/usr/sbin/nologin' >> /etc/passwd
echo 'bulkhead:x:65532:' >> /etc/group

# A .pth file, since `python3 -I` ignores PYTHONPATH.
echo /opt/bulkhead/lib > /usr/lib/python3/dist-packages/bulkhead.pth

# Which version of which Debian package is in here stays readable: scanners for known flaws look at that file.
rm -rf /usr/bin/apt* /usr/lib/apt /etc/apt /var/lib/apt /var/cache/apt /usr/share/apt* /usr/lib/x86_64-linux-gnu/libapt-*
rm -rf /usr/bin/dpkg* /usr/sbin/dpkg* /usr/lib/dpkg /usr/share/dpkg /var/lib/dpkg/info /var/lib/dpkg/*-old /var/cache/*
rm -rf /usr/bin/perl* /usr/lib/x86_64-linux-gnu/perl* /usr/share/perl* /usr/bin/debconf* /usr/share/debconf /usr/sbin/update-*
rm -rf /usr/bin/py3compile /usr/bin/py3clean /usr/bin/pydoc* /usr/bin/pygettext* /usr/share/python3
rm -rf /usr/share/doc /usr/share/man /usr/share/locale /usr/share/info /usr/share/lintian /usr/share/bash-completion
rm -rf /usr/share/zoneinfo /usr/share/keyrings /usr/share/gdb /usr/share/pixmaps /usr/share/applications /usr/share/bug
rm -rf /usr/lib/x86_64-linux-gnu/gconv /usr/lib/systemd /usr/lib/udev /usr/lib/init /etc/systemd
for part in idlelib lib2to3 ensurepip tkinter turtledemo turtle.py test pydoc_data lib-dynload/_test* lib-dynload/_ctypes_test*; do
  rm -rf "$PYTHON"/$part
done
rm -rf /var/log/* /var/tmp/* /tmp/* /root/.[!.]* /etc/machine-id /var/lib/systemd /etc/*-

# Programs that manage a machine; a container of ours is none.
find /usr/sbin -mindepth 1 ! -name nologin -delete
for program in sqv openssl localedef lsblk lscpu lsipc lslogins partx passwd chage chfn chsh expiry gpasswd newgrp su mount umount; do
  rm -f /usr/bin/$program
done
rm -rf $LIBRARIES/security /usr/share/common-licenses /usr/share/gcc /usr/share/ca-certificates

# Libraries that only the removed programs needed; glibc loads a few by name, so those stay.
find / -xdev -type f \( -perm /111 -o -name '*.so*' \) ! -path "$LIBRARIES/lib*" -exec ldd {} + 2>/dev/null \
  | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | xargs -r readlink -f | sort -u > /needed
find $LIBRARIES -maxdepth 1 -type f -name 'lib*.so*' ! -name 'libc.so*' ! -name 'libgcc_s*' ! -name 'libnss_*' ! -name 'libresolv*' \
  | grep -vxF -f /needed | xargs -r rm
find $LIBRARIES -xtype l -delete
rm /needed

# Setuid programs are of no use to a process that may gain no privileges, and of some to one that should not.
find / -xdev -perm /6000 -type f -exec chmod ug-s {} +

# The root is read-only at run time and its files have no meaningful times: code is compiled now, and the
# compiled files are trusted as they are. Times would make them look stale.
find / -xdev -name __pycache__ -type d -prune -exec rm -rf {} +
find /opt/bulkhead/lib \( -name tests -o -name test \) -type d -prune -exec rm -rf {} +
rm -rf /opt/bulkhead/lib/apsw/sqlite_extra_binaries # shells and extensions: 3 MB that nothing here runs
find /opt/bulkhead/lib \( -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' -o -name '*.pyi' \) -delete
chmod -R u=rwX,go=rX /opt/bulkhead
PYTHONHASHSEED=0 python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash "$PYTHON" /usr/lib/python3 /opt/bulkhead/lib
python3 -I -c "import $1"
rm -f "$0"
