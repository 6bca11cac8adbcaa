# Processes, signals, /proc and mounts, as far as their output is the same on every machine.
ps | grep -c '[p]s$'; ps -o pid,comm | head -n 2 | tr -s ' '
[ -d /proc/$$ ] && echo "own folder"; tr '\0' ' ' < /proc/self/cmdline; echo
readlink /proc/self/exe; cat /proc/$$/comm
grep -c . /proc/meminfo > /dev/null && echo meminfo; awk '/^(Name|State|Threads):/ { print $1, $2 }' /proc/self/status
mount | grep -c ' /proc '; grep -w proc /proc/mounts | cut -d' ' -f2,3
sleep 100 & p=$!; kill -STOP $p; sleep 0.2; awk '{ print $3 }' /proc/$p/stat; kill -CONT $p; kill $p; wait $p; echo "killed $?"
kill -0 $p 2>/dev/null; echo "gone $?"
(trap 'echo in handler; exit 9' TERM; sleep 0.1 & wait; while :; do sleep 0.1; done) & p=$!; sleep 0.5; kill -TERM $p; wait $p; echo "trapped $?"
(trap '' INT; kill -INT $(sh -c 'echo $PPID'); echo survived)
ulimit -n; ulimit -s
nice -n 5 nice; setsid sh -c 'echo session'; nohup sh -c 'echo kept' 2>/dev/null
i=0; while [ $i -lt 100 ]; do (exit $((i % 3))); i=$((i + 1)); done; echo "forked $i"
for i in 1 2 3 4 5 6 7 8; do (sleep 0.1; exit $i) & done; wait; echo "all waited $?"
cat /proc/sys/kernel/ostype; uname; hostname > /dev/null; echo "hostname $?"
sh -c 'echo $0 $1' zero one; printf '#!/bin/sh\necho script $1\n' > /tmp/s; chmod +x /tmp/s; /tmp/s arg; (cd /tmp; ./s relative); rm /tmp/s
printf '\177ELF broken' > /tmp/bad; chmod +x /tmp/bad; /tmp/bad 2>/dev/null; echo "bad ELF $?"; rm /tmp/bad
time -p true 2>/dev/null; echo "time $?"
test -c /dev/null && test -c /dev/zero && test -c /dev/tty && echo devices
echo lost > /dev/full; echo "full $?"
head -c 16 /dev/urandom | wc -c; head -c 5 /dev/zero | od -An -tx1
mkdir -p /tmp/m; mount -t tmpfs none /tmp/m && echo in > /tmp/m/f && ls /tmp/m; umount /tmp/m; ls /tmp/m; rmdir /tmp/m
id; whoami 2>/dev/null || id -u; pwd
