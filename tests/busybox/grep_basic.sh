printf 'foo\nbar\nfoobar\nBAZ\n' > f
grep foo f; grep -v foo f; grep -c foo f; grep -n bar f; grep -i baz f
grep -o oo f; grep -x foo f; grep -w foo f; grep -l foo f; grep -L foo f
grep nothing f; echo $?
grep -q foo f; echo $?
grep foo f f; grep -h foo f f | wc -l; grep -H foo f
grep -e foo -e BAZ f
grep -F 'o.' f; echo $?
grep -E 'foo|BAZ' f; grep 'foo\|BAZ' f
grep foo none; echo $?
grep -s foo none; echo $?
echo foo | grep -m 1 foo
