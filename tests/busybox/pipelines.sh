# Pipelines, subshells, substitutions and their statuses.
echo one two three | tr ' ' '\n' | sort -r | head -n 2
seq 1 20000 | wc -l
seq 1 100000 | tail -n 1
yes | head -n 3
echo "pipe status $?"
(cd /tmp && pwd; exit 3); echo "subshell $?"
x=$(echo outer $(echo inner)); echo "$x"
false | true; echo "last of pipe $?"
true && echo and; false || echo or
! true; echo "not $?"
{ echo a; echo b >&2; } 2>&1 | sort
echo "here-document:"; cat <<END
value $((6 * 7)) and $(echo nested)
END
for i in 1 2 3; do for j in a b; do printf '%s%s ' $i $j; done; done; echo
i=0; while [ $i -lt 5 ]; do i=$((i + 1)); [ $i = 3 ] && continue; printf '%d ' $i; done; echo
until [ $i = 0 ]; do i=$((i - 1)); done; echo "until $i"
case busybox in b*x) echo matched;; *) echo not;; esac
f() { local y=$1; shift; echo "f $y $# $*"; return 7; }
f 1 2 3; echo "function $?"
set -- a "b c" d; echo $#; for a in "$@"; do echo "[$a]"; done
echo ${x#outer } ${x%inner} ${#x} ${undefined:-default}
sh -c 'exit 42'; echo "exit $?"
sh -c 'kill -9 $$'; echo "killed $?"
sh -c 'kill -TERM $$'; echo "terminated $?"
nonexistent-command; echo "missing $?"
/tmp; echo "directory $?"
sleep 0 & wait $!; echo "waited $?"
(sleep 1; exit 5) & wait $!; echo "waited $?"
trap 'echo got USR1' USR1; kill -USR1 $$; trap - USR1
trap 'echo leaving' EXIT
read line <<END
first second
END
echo "read $line"
echo a b c | while read p q; do echo "$p|$q"; done
dd if=/dev/zero bs=1000 count=70 2>/dev/null | md5sum
head -c 300000 /dev/zero | tee /dev/null | wc -c
mkfifo /tmp/fifo; (echo through fifo > /tmp/fifo) & cat /tmp/fifo; rm /tmp/fifo
seq 1 5 | xargs -n 2 echo pair
timeout 1 sleep 5; echo "timeout $?"
