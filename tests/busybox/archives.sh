# Archives and compression, there and back.
rm -rf /tmp/ar; mkdir -p /tmp/ar/in/sub && cd /tmp/ar || exit 1
seq 1 5000 > in/numbers; echo text > in/sub/text; ln -s numbers in/link; chmod 600 in/sub/text
head -c 200000 /dev/zero > in/zeros; : > in/empty
tar cf t.tar -C in .; tar tf t.tar | sort
mkdir out && tar xf t.tar -C out; (cd in; find . -type f | sort | xargs md5sum) > sums; (cd out; md5sum -c ../sums); readlink out/link; stat -c %a out/sub/text
tar czf t.tgz -C in .; mkdir out2; tar xzf t.tgz -C out2; cmp in/numbers out2/numbers; echo "cmp $?"
gzip -c in/numbers > n.gz; gunzip -c n.gz | md5sum; md5sum < in/numbers; gzip -t n.gz; echo "gzip $?"
head -c 100 n.gz > broken.gz; gunzip -c broken.gz > /dev/null 2>&1; echo "broken $?"
bzip2 -c in/numbers | bunzip2 | md5sum
(cd in; find . | sort | cpio -o -H newc 2>/dev/null) > c.cpio; mkdir out3; (cd out3; cpio -id 2>/dev/null < ../c.cpio); cmp in/numbers out3/numbers; echo "cpio $?"
base64 in/sub/text; echo aGVsbG8K | base64 -d
split -b 10000 in/numbers part.; cat part.* | cmp - in/numbers; echo "split $?"; ls part.* | wc -l
cd /; rm -rf /tmp/ar
