# `trap`: signals, the end of a shell and of its copies, the list; and waits that a signal ends.
# Each is a script of its own; the expected output is dash's.
t() { cat > /tmp/script; sh /tmp/script 2>/dev/null; echo "= $?"; }
cd /tmp
t <<'END OF IT'
trap 'echo bye' EXIT; echo hi
END OF IT
t <<'END OF IT'
trap 'echo got $?' EXIT; exit 3
END OF IT
t <<'END OF IT'
trap 'echo int' INT; kill -INT $$; echo after
END OF IT
t <<'END OF IT'
trap '' TERM; kill -TERM $$; echo survived; trap - TERM; trap
END OF IT
t <<'END OF IT'
trap 'echo a; echo b' USR1 USR2; trap
END OF IT
t <<'END OF IT'
trap 'echo usr1' USR1; kill -USR1 $$; kill -s USR1 $$; kill -10 $$; echo done
END OF IT
t <<'END OF IT'
trap 'echo sub' EXIT; (echo in; trap 'echo subexit' EXIT; exit 2); echo $?
END OF IT
t <<'END OF IT'
trap 'echo parent' EXIT; (echo in sub)
END OF IT
t <<'END OF IT'
trap 'echo hup' HUP; trap 'echo all' 1 2 3 15; trap; kill -1 $$; kill -3 $$
END OF IT
t <<'END OF IT'
trap 'exit 5' TERM; kill $$; echo no
END OF IT
t <<'END OF IT'
f() { trap 'echo fexit' EXIT; }; f; echo main
END OF IT
t <<'END OF IT'
trap 'echo $?; false' EXIT; (exit 6)
END OF IT
t <<'END OF IT'
trap 'echo one' USR1; (kill -USR1 $$; sleep 0.1); echo two
END OF IT
t <<'END OF IT'
trap NOSUCH_CMD NOSUCHSIG; echo $?
END OF IT
t <<'END OF IT'
set -e; f() { false; echo no; }; f || echo caught; false; echo never
END OF IT
