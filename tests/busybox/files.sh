# Files, folders, links, redirection and permissions.
rm -rf /tmp/f; mkdir -p /tmp/f/a/b/c && cd /tmp/f || exit 1
echo hello > a/x; echo more >> a/x; cat a/x; wc -c a/x
cp a/x a/b/y; mv a/b/y a/b/z; ls a/b
ln a/x a/hard; ln -s x a/soft; readlink a/soft; cat a/soft; stat -c '%n %h %s %F' a/x a/hard a/soft
ln -s loop2 loop1; ln -s loop1 loop2; cat loop1; echo "loop $?"
find . | sort
find a -name 'x' -type f -exec cat {} \;
du -s a >/dev/null; echo "du $?"
chmod 640 a/x; stat -c '%a %A' a/x; chmod u+x,g-r a/x; stat -c '%a %A' a/x
umask 027; touch u1; mkdir u2; stat -c '%a %n' u1 u2; umask 022
touch -d '2020-02-02 02:02:02' a/x; stat -c '%y' a/x
rmdir a; echo "rmdir $?"
rm a; echo "rm $?"
mkdir a; echo "mkdir $?"
cat nothing; echo "cat $?"
echo x > a; echo "redirect $?"
: > empty; [ -s empty ]; echo "empty $?"; [ -e empty ] && echo exists
truncate -s 100000 sparse; stat -c '%s' sparse; md5sum sparse
dd if=/dev/zero of=sparse bs=1 seek=50000 count=1 conv=notrunc 2>/dev/null; md5sum sparse
exec 3> fd3; echo third >&3; exec 3>&-; cat fd3
exec 4< fd3; read got <&4; exec 4<&-; echo "got $got"
cat < fd3 > copy 2> errors; cmp fd3 copy; echo "cmp $?"
echo abcdef | dd bs=1 skip=2 count=3 2>/dev/null; echo
mkdir many; i=0; while [ $i -lt 300 ]; do : > many/file-with-a-long-name-$i; i=$((i + 1)); done; ls many | wc -l; rm -r many; ls -d many; echo "gone $?"
ls -l a/x | cut -c1-10
mv a renamed; ls; ls -R renamed
test -d renamed -a -L renamed/soft; echo "test $?"
rm -rf /tmp/f; cd /; ls -d /tmp/f; echo "end $?"
