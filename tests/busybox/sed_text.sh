printf 'one\ntwo\n' > f
sed '1a after' f; sed '1i before' f; sed '1c changed' f
sed '1a\
line1\
line2' f
sed '2i\  indented' f
sed '$a last' f
sed 'a\' -e 'x' f 2>/dev/null | head -n 2
