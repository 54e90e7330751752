printf 'abc\na.c\naabbcc\n[x]\n123\nfoo bar\n' > f
grep 'a.c' f; echo -; grep 'a\.c' f; echo -; grep '^a' f; echo -; grep 'c$' f; echo -
grep '[0-9]\{3\}' f; grep -E '[0-9]{3}' f; grep -E 'a+b+' f; grep 'a\+b\+' f
grep '\[x\]' f; grep '[[:digit:]]' f; grep '^[^a]' f; echo -
grep '\(a\)\1' f; grep -E '(b)\1' f; echo -
grep '\<bar\>' f; grep 'foo\b' f; grep '\w\+ \w\+' f; echo -
grep -E '^$|x' f; grep 'a*' f | wc -l; grep -E '(foo|bar) ?' f
grep -E 'a{2}' f; grep '*' f; echo $?
grep -E '[]x]' f
