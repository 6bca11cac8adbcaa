# The shell's language: quotes, expansion, compound commands, functions, statuses.
echo hello $# "a  b" 'c $d' e\ f ""
x=5; echo $((x * 2)) ${x}y "${z:-default}" ${#x} ${z:+no} ${x:+yes}
path=/usr/lib/x.tar.gz; echo ${path##*/} ${path%.*} ${path%%.*} ${path#*/}
for i in a b c; do echo -n "$i "; done; echo
if [ 1 -lt 2 ] && ! [ a = b ]; then echo yes; else echo no; fi
if false; then echo 1; elif true; then echo 2; else echo 3; fi
f() { echo "f: $1 $#"; return 3; }; f arg more; echo $?
case abc in x|y) echo xy;; a*) echo starts;; *) echo other;; esac
i=0; while [ $i -lt 4 ]; do i=$((i + 1)); [ $i = 2 ] && continue; [ $i = 4 ] && break; echo $i; done
until true; do echo never; done
for i in 1 2; do for j in 1 2; do [ $j = 2 ] && continue 2; echo $i$j; done; done
(exit 7); echo $?
( x=6; cd /tmp; echo $x ); echo $x
{ echo group; echo group2; } | tail -n 1
! true; echo $?
false || echo or; true && echo and
echo $(echo sub $(echo nested)) `echo old` "$(printf 'a\n\n')"
set -- p "q r" s; shift; echo $# "$1" "$@" "$*"
for word in "$@"; do echo "<$word>"; done
a=1 b=2 env | grep '^[ab]='
a=1 eval 'echo $a'; echo "[$a]"
IFS=:; list=a:b::c; for word in $list; do echo "($word)"; done
unset IFS list; echo ${list-unset}
read first rest <<END
one two three
END
echo "$rest" "$first"
cat <<-'END'
	quoted $x
	END
cat <<END
expanded $x $((1 + 1))
END
echo one two | while read a b; do echo "$b $a"; done
test -n "$PATH" -a -d / ; echo $?
no-such-program; echo $?
/tmp; echo $?
(echo $((08)) ; echo never); echo after $?
echo before a syntax error
${x!}
echo not reached
