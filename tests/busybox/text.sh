# The text tools.
cd /tmp
cat > t.txt <<END
delta 4 north
alpha 1 south
charlie 3 east
bravo 2 west
alpha 5 north
END
sort t.txt; sort -k2 -n t.txt | cut -d' ' -f2 | tr '\n' ,; echo
sort -u -k1,1 t.txt | wc -l
grep -c alpha t.txt; grep -n 'a.*th$' t.txt; grep -v -E '^(alpha|bravo)' t.txt; grep zulu t.txt; echo "grep $?"
sed -n '2,3p' t.txt; sed 's/\([a-z]*\) \([0-9]\)/\2 \1/' t.txt; sed -e '/east/d' -e '$!N;s/\n/;/' t.txt
sed -i 's/north/NORTH/' t.txt; cat t.txt
awk '{ sum += $2; seen[$1]++ } END { print sum, NR; for (k in seen) n++; print n }' t.txt
awk -F' ' '$2 > 2 { printf "%-10s|%3d|\n", $1, $2 }' t.txt
awk 'BEGIN { for (i = 0; i < 5; i++) printf "%s ", i * i; print ""; print length("four"), substr("abcdef", 2, 3), toupper("x"), 7 / 2 }'
cut -c1-3 t.txt | uniq; head -n 1 t.txt; tail -n 1 t.txt; tail -n +4 t.txt
wc t.txt; md5sum t.txt; sha256sum t.txt | cut -c1-16; cksum t.txt
od -c t.txt | head -n 2; hexdump -C t.txt | tail -n 2
expr 6 \* 7; expr length abcdef; printf '%05d %x %o %s\n' 42 255 8 text; basename /a/b/c.txt .txt; dirname /a/b/c.txt
rev t.txt | head -n 1; tac t.txt | head -n 1; nl t.txt | head -n 2; fold -w 5 t.txt | head -n 3; paste -d: t.txt t.txt | head -n 1
diff t.txt /dev/null > d; echo "diff $?"; wc -l < d
echo 'scale=3; 22/7' | bc 2>/dev/null || echo 'no bc'
date -u -d @86400 '+%Y-%m-%d %H:%M:%S'
seq -s, 1 10; seq 10 -3 1 | tr '\n' ' '; echo
env -i A=1 B=2 /bin/busybox env | sort
rm t.txt d
