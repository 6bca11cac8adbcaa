# The shell's options: what `set -e` ends and what it does not, `-u`, `-x`, `-f`, `-a`, `-n`, and faults that end a script.
e() { sh -ec "$1"; echo "= $?"; }
e 'echo a; false; echo never'
e 'false || echo or; false && echo and; echo on'
e 'if false; then :; fi; while false; do :; done; until true; do :; done; echo on'
e '! true; ! false; echo on'
e 'false | true; echo on; true | false; echo never'
e '(exit 3); echo never'
e '(false; echo never) || echo or'
e '{ false; echo inside; } || :; echo on'
e 'f() { false; echo inside; }; if f; then echo yes; fi; f; echo never'
e 'x=$(false); echo never'
e 'x=$(echo a; false; echo never) || echo or $x'
e 'echo $(false) on'
e 'for i in 1 2; do [ $i = 1 ]; echo $i; done; echo never'
e 'case a in a) false;; esac; echo never'
e 'set +e; false; echo on; set -e; false; echo never'
e '{ false && true; }; echo on'
e '{ echo x; } > /nowhere/y; echo never'
e 'no-such-program; echo never'
e 'eval false; echo never'
e 'false & wait; echo on'
echo 'echo $-; false; echo never' > /tmp/script; sh -e /tmp/script; echo $?
printf '#!/bin/sh -e\nfalse\necho never\n' > /tmp/script; chmod +x /tmp/script; /tmp/script; echo $?
echo 'false; echo never' | sh -e; echo $?
sh -u -c 'echo ${x-unset} "$@"; echo $x; echo never'; echo $?
sh -uc 'set +u; echo "[$x]"; set -o nounset; : "${x:=1}"; echo $x ${#x}; echo ${y%z}; echo never'; echo $?
sh -xc 'a=1 b="x y"; echo $a "$b" it\''s; PS4="# "; true' 2>&1
sh -fc 'echo /*'; sh -c 'set -f; set -- *; echo "$1" $#; set +f; echo $-'
sh -ac 'v=exported; env' | grep '^v='
sh -nc 'echo never; exit 1'; echo $?
sh -c 'set -o pipefail; false | true; echo $?; exit 3 | true; echo $?; true | true; echo $?'
sh -c 'set -eu -o pipefail; echo $-; set -- -a b; echo $1; false | cat; echo never'; echo $?
sh -c 'set -e -- p q; echo $# $1; set --; echo $#; set -; set x; echo $1'
sh -c 'set -Z; echo never' 2>/dev/null; echo $?
sh -Z -c 'echo never' 2>/dev/null; echo $?
sh -c '[[ a = a ]]; echo never' 2>/dev/null; echo $?
sh -c 'echo ${nothing?}; echo never' 2>/dev/null; echo $?
sh -c '. /nowhere; echo never' 2>/dev/null; echo $?
sh -c 'exec /nowhere; echo never' 2>/dev/null; echo $?
sh -c 'shift 3; echo never' 2>/dev/null; echo $?
sh -c ': > /nowhere/x; echo never' 2>/dev/null; echo $?
sh -c 'echo x > /nowhere/x; echo on' 2>/dev/null; echo $?
sh -c 'eval "("; echo never' 2>/dev/null; echo $?
sh -c 'command . /nowhere; echo on $?; command -v cd; command -v no-such; echo $?; echo() { :; }; command echo x' 2>/dev/null
rm /tmp/script
