# What belongs to a function, options of scripts, words that stand for others, what may not be changed.
# Each is a script of its own; the expected output is dash's.
t() { cat > /tmp/script; sh /tmp/script 2>/dev/null; echo "= $?"; }
cd /tmp
t <<'END OF IT'
f() { local a=1 b; b=2; echo $a $b; return 3; }; a=9; f; echo $? $a $b
END OF IT
t <<'END OF IT'
f() { local x; echo "${x-unset}"; x=in; g; }; g() { echo $x; x=mod; }; x=out; f; echo $x
END OF IT
t <<'END OF IT'
while getopts ab:c opt -a -b val -c rest; do echo "$opt ${OPTARG-}"; done; echo $OPTIND
END OF IT
t <<'END OF IT'
set -- -x -b foo -ab bar arg; while getopts ab: o; do case $o in a) echo A;; b) echo "B=$OPTARG";; \?) echo bad;; esac; done; shift $((OPTIND-1)); echo "$@"
END OF IT
t <<'END OF IT'
set -- -b; while getopts :ab: o; do echo "$o:$OPTARG"; done
END OF IT
t <<'END OF IT'
set -- -z; while getopts :ab: o; do echo "$o:$OPTARG"; done
END OF IT
t <<'END OF IT'
f() { while getopts v o; do echo f$o; done; OPTIND=1; }; f -v; f -v -v
END OF IT
t <<'END OF IT'
umask 022; umask -S; umask u=rwx,g=rx,o=; umask; umask -S; umask g+w; umask; umask a=rx; umask; umask o-r; umask
END OF IT
t <<'END OF IT'
alias ll='echo listing'; alias; alias ll; unalias ll; alias; alias nosuch; echo $?
END OF IT
t <<'END OF IT'
alias hi='echo hello'
hi world
unalias hi
hi 2>/dev/null || echo gone
END OF IT
t <<'END OF IT'
alias e='echo ' w=world
e w
END OF IT
t <<'END OF IT'
readonly r=1; readonly; (r=2) 2>/dev/null; echo $?; echo $r
END OF IT
t <<'END OF IT'
readonly a=5; unset a; echo never
END OF IT
t <<'END OF IT'
set -- a b c; shift; echo $1; shift 2; echo $#; shift; echo never
END OF IT
t <<'END OF IT'
if false; then echo a; elif true; then echo b; else echo c; fi; if false; then :; fi; echo $?
END OF IT
t <<'END OF IT'
export A=1; sh -c 'echo $A'; B=2 sh -c 'echo $B'; echo ${B-unset}; export -p | grep '^export A='
END OF IT
t <<'END OF IT'
unset x; x=5; unset x; echo ${x-gone}; f() { echo f; }; unset -f f; f 2>/dev/null; echo $?; unset -v y; echo $?
END OF IT
t <<'END OF IT'
(cd /tmp; pwd); cd /; cd tmp; pwd; cd - ; echo $OLDPWD; cd /nosuch; echo $?
END OF IT
t <<'END OF IT'
a=1 b=$a; echo $b; a=1; a=2 echo $a; IFS=: ; x="p:q"; echo $x
END OF IT
t <<'END OF IT'
x=abc
echo "${x}def" "$x"def '$x' "${x#a}" "${nope:-"dq word"}" ${nope:-'s q'} "${nope:-'s q'}" "${nope:-a}b}"
END OF IT
t <<'END OF IT'
set -f; echo *; set +f; set -o | grep -c noglob
END OF IT
t <<'END OF IT'
a=; echo "${a:-empty}" "${a-set}" "${a:+x}" "${a+y}"
END OF IT
t <<'END OF IT'
pwd -P >/dev/null; echo $?; cd -P /tmp; pwd; cd -L /; pwd; cd; echo ${PWD:+ok}
END OF IT
t <<'END OF IT'
export x; x=5; sh -c 'echo $x'; export y=a\ b z; sh -c 'echo "$y"'; readonly q; echo $?
END OF IT
t <<'END OF IT'
set -a; foo=bar; sh -c 'echo $foo'; set +a
END OF IT
