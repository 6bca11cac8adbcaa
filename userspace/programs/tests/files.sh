# The everyday commands on a small tree.
cd /tmp && rm -rf files && mkdir files && cd files || exit 1
mkdir -p d/e/f; echo hi > d/a; cp d/a d/b; ln -s a d/l; ls -1 d; cat d/l
cp -r d d2; mv d2 d3 && ls -1R d3; rm -r d d3; ls -1 d; echo $?
seq 3 | tail -n 2; seq 10 | head -3; printf 'a b\nc\n' | wc; echo -n abc | hexdump
seq 20 | grep 1 | grep -v '^1$' | grep -c .
printf 'one\ntwo\n' > lines; grep -n o lines; grep -q x lines; echo $?; grep -i TWO lines
echo three >> lines; wc -l lines; tail -n 1 lines
> empty; [ -s empty ]; echo $?; [ -f empty ]; echo $?
touch x; chmod 640 x; ls -l x | grep -c '^-rw-r-----'; chmod u+x,o=r x; ls -l x | grep -c '^-rwxr--r--'
ln x y; ls -l x | grep -c ' 2 '; readlink x; echo $?
echo *; echo [l]* '*' n*o
basename /a/b.c .c; dirname /a/b.c; dirname a; pwd
echo a | tee z; cat z z; cat < /nowhere; echo $?; cat /nowhere; echo $?
ls /nowhere; echo $?; mkdir z; echo $?; rmdir /tmp/files; echo $?; rm nothing; echo $?; rm -f nothing; echo $?
echo out; echo err >&2; { echo both; echo both >&2; } 2>&1 | wc -l
exec 3> third; echo to three >&3; exec 3>&-; cat third
env -i A=1 env; printf '%s-%03d|%x\n' a 7 255 b 8 16
cat /dev/zero | head -n 0; echo $?; echo lost > /dev/full; echo $?
head -n 1 /proc/self/mounts > /dev/null; echo $?
cd / && rm -r /tmp/files
