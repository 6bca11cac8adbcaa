# Arithmetic, patterns, here-documents, `printf`, `test`, files that are not overwritten, limits.
# Each is a script of its own; the expected output is dash's.
t() { cat > /tmp/script; sh /tmp/script 2>/dev/null; echo "= $?"; }
cd /tmp
t <<'END OF IT'
x=abc; echo ${x%c} ${x#a} ${x%%b*} ${x##*b} ${#x} ${y-def} ${y:-d2} ${y=as} $y ${x:+alt} ${z+no}
END OF IT
t <<'END OF IT'
echo $((1+2*3)) $((7%3)) $((-7/2)) $((1<<4)) $((0x1f)) $((010)) $((5>3)) $((5==5&&0||1)) $((~0)) $((!3))
END OF IT
t <<'END OF IT'
i=5; echo $((i+=2)) $i $((i*=3)) $((i-=1)) $((i/=2)) $((i%=4)) $i
END OF IT
t <<'END OF IT'
i=1; echo $((i<2?10:20)) $((1,2)) 
END OF IT
t <<'END OF IT'
a=5; echo $((a & 6)) $((a | 8)) $((a ^ 1)) $((a >> 1)) $((a != 3)) $((a <= 5)) $((a >= 6))
END OF IT
t <<'END OF IT'
set -C; rm -f /tmp/nc; echo one > /tmp/nc; echo two > /tmp/nc || echo refused; echo three >| /tmp/nc; cat /tmp/nc; echo x >/dev/null; echo $?
END OF IT
t <<'END OF IT'
x="a b"; cat <<EOF
$x
EOF
END OF IT
t <<'END OF IT'
while read a b; do echo "[$a][$b]"; done <<EOF
one two three
 lead   trail  
x
EOF
END OF IT
t <<'END OF IT'
echo a:b:c:: | { IFS=: read x y z; echo "$x|$y|$z"; }
END OF IT
t <<'END OF IT'
case abc in a*) echo 1;; esac; case x in [!a-c]) echo 2;; esac; case "*" in \*) echo 3;; esac; case a in a|b) echo 4;; *) echo 5;; esac; case '' in '') echo 6;; esac; case abc in ??c) echo 7;; esac; case ] in []]) echo 8;; esac; case a-b in *[-]*) echo 9;; esac; case 5 in [[:digit:]]) echo 10;; esac
END OF IT
t <<'END OF IT'
printf '%s\n' a b c; printf '%d %s\n' 1 a 2; printf 'x\n'; printf '%05d|%+d|%.2s|%*d\n' 42 5 abcdef 6 7
END OF IT
t <<'END OF IT'
printf '%e %f %g\n' 1.5 2.25 3.125
END OF IT
t <<'END OF IT'
[ a = a ] && echo 1; [ a != b ] && echo 2; [ -z "" ] && echo 3; [ -n x ] && echo 4; [ 1 -lt 2 ] && echo 5; [ -d / ] && echo 6; [ -f / ] || echo 7; [ -e /nosuch ] || echo 8; [ ! -e /nosuch ] && echo 9; [ a -a b ] && echo 10; [ "" -o b ] && echo 11; [ \( a = a \) ] && echo 12; [ -x /bin/sh ] && echo 13; [ -t 0 ] || echo 14; [ x ] && echo 15; [ ] || echo 16; test -r / -a -w /tmp && echo 17
END OF IT
t <<'END OF IT'
ulimit -S -n 100; ulimit -n; ulimit -H -n >/dev/null; echo $?
END OF IT
t <<'END OF IT'
ulimit -c 0; ulimit -c; ulimit -a >/dev/null; echo $?; ulimit -f
END OF IT
t <<'END OF IT'
set -v
echo hi
# comment
x=1
END OF IT
t <<'END OF IT'
x='a  b'; set -- $x; echo $#; IFS=:; y=a:b::c; set -- $y; echo $# "$3."; IFS=; set -- $x; echo $#
END OF IT
t <<'END OF IT'
echo a | (read x; echo $x) | { cat; }
END OF IT
t <<'END OF IT'
f() { cat <<EOF
in function $1
EOF
}; f 1; f 2
END OF IT
t <<'END OF IT'
if true; then cat <<EOF
in if
EOF
fi
END OF IT
t <<'END OF IT'
cat <<"E O"
x
E O
cat <<\EOF
$y
EOF
END OF IT
t <<'END OF IT'
x=1; cat <<EOF
${x:-a b} "${x}" ${y:-"q"} $(cat <<IN
inner
IN
)
EOF
END OF IT
t <<'END OF IT'
echo "$(echo "a b"  'c  d')" $(echo "a  b")
END OF IT
t <<'END OF IT'
(sleep 0.1; echo bg) & wait; echo fg
END OF IT
